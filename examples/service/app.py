"""The application: `uvicorn examples.service.app:app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import lazymig.web
from examples.customers_in_pydantic import CustomerV1, CustomerV2

from .doors import customers_router
from .failures import answer_errors
from .storage import opened, repository

__all__ = ["app", "create_app", "repository"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Here and not at import: the client belongs to the loop that the server runs.
    async with opened() as customers:
        app.state.customers = customers
        yield


def create_app() -> FastAPI:
    """The application with both versions, and the page of the migration."""
    app = FastAPI(title="Customers", lifespan=lifespan)
    app.include_router(customers_router("v1", lambda customers: customers.v1, CustomerV1))
    app.include_router(customers_router("v2", lambda customers: customers, CustomerV2))
    answer_errors(app)
    # It only reads. A function, because the repository is made later. Everybody who reaches it sees ids, so let the
    # server before this service decide who does.
    app.mount("/migration", lazymig.web.app(lambda: app.state.customers))
    return app


app = create_app()
