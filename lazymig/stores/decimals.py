"""Conversion between `Decimal` and BSON's `Decimal128`, several times as fast as the driver's, with the same results.

The driver converts digit by digit, in Python. Here both directions go through one integer: the 16 bytes of a Decimal128
(IEEE 754-2008 decimal128, binary integer coding) hold a sign, an exponent of 14 bits and a coefficient of 113 bits.
What does not surely fit that picture (NaN, infinities, coefficients of more than 34 digits, subclasses) is left to the
driver.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from bson.decimal128 import Decimal128

#: What a Decimal128 holds.
DIGITS_MAX: Final = 34
EXPONENT_MIN: Final = -6176
EXPONENT_MAX: Final = 6111
_COEFFICIENT_MAX: Final = 10**DIGITS_MAX - 1

#: More than the text of any of these numbers has that is written without an exponent.
_CHARACTERS_MAX: Final = 50

#: Of the higher 64 bits: where the exponent begins, below it what the coefficient has there, and the sign.
_HIGH_EXPONENT_SHIFT: Final = 113 - 64
_HIGH_COEFFICIENT_MASK: Final = (1 << _HIGH_EXPONENT_SHIFT) - 1
_HIGH_SIGN: Final = 1 << 63
#: From here on, without the sign, the two highest bits of the exponent are 11: infinities, NaN, and another coding.
_HIGH_SPECIAL: Final = 3 << 61
_LOW_MASK: Final = (1 << 64) - 1

_make = Decimal128.__new__

#: It moves the point of up to 34 digits without rounding, whatever the caller's own context is.
_scale = Context(prec=DIGITS_MAX, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX, clamp=0, traps=[]).scaleb


def to_decimal(value: Decimal128) -> Decimal:
    """Return the number of a Decimal128, as `Decimal128.to_decimal` does."""
    if value.__class__ is Decimal128:
        # The two halves, as pickle gets them. The property `bid` would make bytes of them first.
        high, low = value.__getstate__()
        if high < _HIGH_SPECIAL:
            coefficient = (high & _HIGH_COEFFICIENT_MASK) << 64 | low
            if coefficient <= _COEFFICIENT_MAX:
                return _scale(coefficient, (high >> _HIGH_EXPONENT_SHIFT) + EXPONENT_MIN)
        elif high >= _HIGH_SIGN and (high := high ^ _HIGH_SIGN) < _HIGH_SPECIAL:
            coefficient = (high & _HIGH_COEFFICIENT_MASK) << 64 | low
            if 0 < coefficient <= _COEFFICIENT_MAX:  # an int has no negative zero
                return _scale(-coefficient, (high >> _HIGH_EXPONENT_SHIFT) + EXPONENT_MIN)
    return value.to_decimal()


def to_decimal128(value: Decimal) -> Decimal128 | None:
    """Return a finite number as the Decimal128 that holds it exactly, with its exponent.

    Returns:
        The Decimal128; None where no Decimal128 holds the number so, and for what is no finite `Decimal`. The driver
        would round such numbers' zeros away, convert them, or raise.
    """
    if value.__class__ is not Decimal:
        return None
    text = str(value)
    whole, _, fraction = text.partition(".")
    try:
        # Without an exponent, 34 digits take up at most 43 characters; the int of a million digits would take long.
        coefficient = int(whole + fraction) if len(text) <= _CHARACTERS_MAX else None
    except ValueError:  # with an exponent, NaN, or infinity
        coefficient = None
    if coefficient is None:
        return _spelled_otherwise(value)
    exponent = -len(fraction)
    if 0 < coefficient <= _COEFFICIENT_MAX:  # nearly always, so without another call
        made = _make(Decimal128)
        # As pickle does it. The constructor would first find out what it was given, which takes as long as all of this.
        high = (exponent - EXPONENT_MIN) << _HIGH_EXPONENT_SHIFT | coefficient >> 64
        made.__setstate__((high, coefficient & _LOW_MASK))
        return made
    return _pack(_HIGH_SIGN if whole[0] == "-" else 0, -coefficient if coefficient < 0 else coefficient, exponent)


def _spelled_otherwise(value: Decimal) -> Decimal128 | None:
    sign, _, exponent = value.as_tuple()
    # The exponent of NaN and of the infinities is a letter.
    if not isinstance(exponent, int) or not EXPONENT_MIN <= exponent <= EXPONENT_MAX:
        return None
    if value.adjusted() - exponent >= DIGITS_MAX:
        return None
    coefficient = int(_scale(value.copy_abs(), -exponent))
    return _pack(_HIGH_SIGN if sign else 0, coefficient, exponent)


def _pack(sign: int, coefficient: int, exponent: int) -> Decimal128 | None:
    if coefficient > _COEFFICIENT_MAX:
        return None
    high = sign | (exponent - EXPONENT_MIN) << _HIGH_EXPONENT_SHIFT | coefficient >> 64
    return Decimal128((high, coefficient & _LOW_MASK))  # type: ignore[arg-type]  # as the driver documents
