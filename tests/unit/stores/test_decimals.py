"""`lazymig.stores.decimals` against the driver's own conversion: drawn values of every class, and errors too.

`--full` draws four million values each way.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from random import Random, SystemRandom
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lazymig import make_converter
from lazymig.stores import decimals
from lazymig.stores.decimals import to_decimal, to_decimal128
from tests.widening import WIDENING

DRAWN = 4_000_000 if WIDENING.full else 20_000
CONVERTER = make_converter()
#: A caller's context that would round, raise and spell otherwise: nothing may depend on it.
HOSTILE = decimal.Context(prec=2, Emin=-3, Emax=3, capitals=0, clamp=1, traps=list(decimal.Context().traps))

EXPONENTS = (-6176, -6175, -6143, -40, -8, -7, -6, -2, -1, 0, 1, 5, 6000, 6078, 6110, 6111)
BEYOND = (-7000, -6210, -6178, -6177, 6112, 6113, 6144, 6145, 9999)
COEFFICIENTS = (
    0, 1, 9, 10, 99, 12345, 2**53, 2**64 - 1, 2**64, 10**33, 10**34 - 1, 10**34, 10**34 + 1, 2**113 - 1,
)  # fmt: skip


def draw_bits(draw: Random) -> int:
    """The bits of a Decimal128 of any class, also those that no driver writes."""
    sign = draw.getrandbits(1) << 127
    match draw.randrange(8):
        case 0:
            return draw.getrandbits(128)
        case 1:  # what applications store
            return sign | (6176 - draw.randrange(5)) << 113 | draw.randrange(10 ** draw.randrange(1, 20))
        case 2:
            return sign | (6176 + draw.choice(EXPONENTS)) << 113 | draw.choice(COEFFICIENTS)
        case 3:  # a zero of any exponent
            return sign | draw.randrange(12288) << 113
        case 4:  # around 34 digits
            return sign | draw.randrange(12288) << 113 | 10**34 + draw.randrange(-3, 3)
        case 5:  # infinities and NaN, signalling too, with and without more bits
            bits: int = sign | draw.choice((0x78, 0x7C, 0x7E)) << 120
            return bits | draw.choice((0, 1, draw.getrandbits(110)))
        case 6:  # the coding whose coefficients begin with 100
            return sign | 3 << 125 | draw.getrandbits(125)
        case _:
            return sign | draw.randrange(12288) << 113 | draw.getrandbits(draw.randrange(1, 114))


def draw_decimal(draw: Random) -> Decimal:
    """A Decimal of any class: what a Decimal128 holds, what it would round, clamp or refuse, and what is no number."""
    sign = draw.getrandbits(1)
    match draw.randrange(6):
        case 0:  # what applications store
            return Decimal(draw.randrange(10 ** draw.randrange(1, 20))).scaleb(-draw.randrange(5)) * (-1) ** sign
        case 1:
            return _assemble(sign, draw.choice(COEFFICIENTS), draw.choice(EXPONENTS + BEYOND))
        case 2:  # zeros
            return _assemble(sign, 0, draw.choice((draw.randrange(-7000, 7000), draw.randrange(-45, 5))))
        case 3:  # zeros at the end, which clamping would add or take away
            coefficient = draw.randrange(1, 1000) * 10 ** draw.randrange(34)
            return _assemble(sign, coefficient, draw.choice((-6176, 6111)) + draw.randrange(-40, 40))
        case 4:  # infinities and NaN, signalling too, with and without a payload
            payload = draw.choice(((), (), tuple(map(int, str(draw.getrandbits(130))))))
            return Decimal((sign, payload, draw.choice("nNF")))
        case _:
            digits = draw.randrange(10 ** draw.randrange(1, 38))
            return _assemble(sign, digits, draw.choice((draw.randrange(-6300, 6300), draw.randrange(-45, 10))))


def _assemble(sign: int, coefficient: int, exponent: int) -> Decimal:
    return Decimal((sign, tuple(map(int, str(coefficient))), exponent))


def unpack(bits: int) -> Decimal128:
    """The Decimal128 of these bits."""
    return Decimal128.from_bid(bits.to_bytes(16, "little"))


def spelled(number: Decimal) -> tuple[Any, ...]:
    """All that distinguishes two Decimals, NaN and zeros included."""
    return number.as_tuple()


def outcome(function: Callable[[Decimal], Decimal128], number: Decimal) -> object:
    """The bytes of the result, or the error with its text."""
    try:
        return function(number).bid
    except (ValueError, ArithmeticError) as error:
        return type(error), str(error)


def by_the_driver(number: Decimal) -> Decimal128:
    """What a converter of lazymig stores, by the driver alone."""
    _, digits, exponent = number.as_tuple()
    if isinstance(exponent, int) and not (len(digits) <= 34 and -6176 <= exponent <= 6111):
        raise ValueError("a Decimal128 does not hold this number exactly (34 digits); round it first")
    return Decimal128(number)


def check_read(value: Decimal128) -> None:
    """Compare what is read, by the function and by a converter."""
    expected = spelled(value.to_decimal())
    assert spelled(to_decimal(value)) == expected, value.bid
    assert spelled(CONVERTER.structure(value, Decimal)) == expected, value.bid


def check_written(number: Decimal) -> None:
    """Compare what is written, or the error, by the function and by a converter."""
    assert outcome(CONVERTER.unstructure, number) == outcome(by_the_driver, number), repr(number)
    made = to_decimal128(number)
    try:
        expected = Decimal128(number)
    except (ValueError, decimal.DecimalException):
        assert made is None, repr(number)
        return
    if not number.is_finite() or spelled(expected.to_decimal()) != spelled(number):
        assert made is None, repr(number)  # the driver clamped it, or it is for the driver to decide
    else:
        assert made is not None, repr(number)
        assert made.bid == expected.bid, repr(number)


def check_many(draw: Random, count: int) -> None:
    """Compare both directions."""
    for _ in range(count):
        check_read(unpack(draw_bits(draw)))
        check_written(draw_decimal(draw))


@pytest.fixture
def draw() -> Random:
    """A source of choices, whose seed is printed."""
    seed = SystemRandom().randrange(10**6) if WIDENING.seed is None else WIDENING.seed
    print(f"--seed {seed}")
    return Random(seed)


def test_drawn_values_are_read_as_by_the_driver(draw: Random) -> None:
    """Whatever 16 bytes a Decimal128 has, the number is the driver's, with its sign and its exponent."""
    for _ in range(DRAWN):
        check_read(unpack(draw_bits(draw)))


def test_drawn_values_are_written_as_by_the_driver(draw: Random) -> None:
    """Whatever the Decimal, the 16 bytes are the driver's, and so is the refusal."""
    for _ in range(DRAWN):
        check_written(draw_decimal(draw))


DIGITS = st.integers(0, 10**35).map(lambda number: tuple(map(int, str(number))))
EXACTLY = st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    st.integers(0, 1), DIGITS, st.one_of(st.integers(-45, 10), st.sampled_from(EXPONENTS + BEYOND)),
)  # fmt: skip


@settings(max_examples=150, deadline=None, print_blob=True)
@given(st.one_of(EXACTLY, st.decimals()))
@example(Decimal("-0"))
@example(Decimal("-0.00"))
@example(Decimal("-0E-6176"))
@example(Decimal("0E+6112"))
@example(Decimal("1E+6144"))
@example(Decimal("10E-6177"))
@example(Decimal("0.0000001"))
@example(Decimal("9" * 34))
@example(Decimal("1" + "0" * 34))
@example(Decimal("sNaN"))
@example(Decimal("-NaN123"))
def test_numbers_come_back_with_sign_and_exponent(number: Decimal) -> None:
    """What is written is read back digit by digit; what is not held exactly is refused, as the driver alone would."""
    check_written(number)
    made = to_decimal128(number)
    if made is not None:
        check_read(made)
        assert spelled(to_decimal(made)) == spelled(number)


def test_the_context_of_the_caller_changes_nothing(draw: Random) -> None:
    """A program may round to two digits, trap every signal and write a small e: the conversion does not follow it."""
    values = [unpack(draw_bits(draw)) for _ in range(1_000)]
    numbers = [draw_decimal(draw) for _ in range(1_000)]
    read = [spelled(to_decimal(value)) for value in values]
    written = [outcome(CONVERTER.unstructure, number) for number in numbers]
    with decimal.localcontext(HOSTILE) as context:
        assert [spelled(to_decimal(value)) for value in values] == read
        assert [outcome(CONVERTER.unstructure, number) for number in numbers] == written
        assert not any(context.flags.values())


class Money(Decimal):
    """A subclass, which may spell itself as it likes."""

    def __str__(self) -> str:
        return "1"


class Stored(Decimal128):
    """A subclass, which may read itself as it likes."""

    def to_decimal(self) -> Decimal:
        return Decimal(7)


def test_subclasses_are_left_to_the_driver() -> None:
    """What a subclass overrides holds as it does in the driver."""
    assert to_decimal128(Money("2.50")) is None
    assert CONVERTER.unstructure(Money("2.50"), unstructure_as=Decimal) == Decimal128("2.50")
    assert to_decimal(Stored("2.50")) == 7


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("_HIGH_SPECIAL", 1 << 63),
        ("_COEFFICIENT_MAX", 10**35),
        ("_HIGH_COEFFICIENT_MASK", (1 << 48) - 1),
        ("_LOW_MASK", (1 << 63) - 1),
        ("EXPONENT_MIN", -6175),
        ("_HIGH_SIGN", 0),
    ],
)
def test_a_wrong_bound_is_found(monkeypatch: pytest.MonkeyPatch, draw: Random, name: str, wrong: int) -> None:
    """The comparison notices each of the constants that the conversion depends on."""
    monkeypatch.setattr(decimals, name, wrong)
    with pytest.raises((AssertionError, OverflowError, decimal.DecimalException)):
        check_many(draw, 5_000)


def test_a_million_digits_are_refused_at_once() -> None:
    """A number of that length never becomes an int, which takes long, also where Python's own limit is off."""
    assert to_decimal128(Decimal("1" * 1_000_000)) is None
    assert to_decimal128(Decimal("1" * 1_000_000 + "E+5")) is None
    assert to_decimal128(Decimal("1E+999999")) is None
