"""Errors as responses. None of them shows what a stored document holds."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from pymongo.errors import PyMongoError

from lazymig import AlreadyExists, Contention, ConversionError, NotFound, PhaseError

_LOG = logging.getLogger("examples.service")
_LATER = {"Retry-After": "1"}


def _answer(status: int, *reasons: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": reasons}, status, headers)


async def bad_change(_: Request, error: ValidationError) -> JSONResponse:
    """A change that the entity's class refuses, in FastAPI's own form, without the entity."""
    reasons = error.errors(include_input=False, include_context=False, include_url=False)
    return JSONResponse({"detail": [{**reason, "loc": ("body", *reason["loc"])} for reason in reasons]}, 422)


async def not_found(_: Request, error: NotFound) -> JSONResponse:
    return _answer(404, f"no customer has the id {error.id}")


async def already_exists(_: Request, error: AlreadyExists) -> JSONResponse:
    return _answer(409, f"a customer with the id {error.id} exists")


async def contention(_: Request, error: Contention) -> JSONResponse:
    """Nothing was written: the same request may simply be sent again."""
    return _answer(503, f"too many clients write the customer {error.id}; nothing was written", headers=_LATER)


async def conversion_error(request: Request, error: ConversionError) -> JSONResponse:
    """What a client writes must be sayable in both versions; a stored document that is not is our own fault."""
    if request.method != "GET":
        # The words of this migration's own conversions, which never repeat what they refuse; no others are shown.
        why = str(error.cause) if type(error.cause) is ValueError else "one version cannot say what the other does"
        return _answer(422, why)
    _LOG.error("%s", error)
    return _answer(500, f"the stored customer {error.id} is in no known form; the log names it")


async def phase_error(_: Request, error: PhaseError) -> JSONResponse:
    """This process does not know the phase at present, and another one may. Nothing was written."""
    _LOG.warning("%s", error)
    return _answer(503, "this process cannot take calls at present; nothing was written", headers=_LATER)


async def database_error(_: Request, error: PyMongoError) -> JSONResponse:
    """The database is away. A write may or may not have happened; the next read gives the right answer."""
    _LOG.error("the database failed: %s", type(error).__name__)
    return _answer(503, "the database did not answer; a write may or may not have happened", headers=_LATER)


_ANSWERS: dict[type[Exception], Any] = {
    ValidationError: bad_change,
    NotFound: not_found,
    AlreadyExists: already_exists,
    Contention: contention,
    ConversionError: conversion_error,
    PhaseError: phase_error,
    PyMongoError: database_error,
}


def answer_errors(app: FastAPI) -> None:
    """Make the application answer with these responses."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
