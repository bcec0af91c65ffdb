"""The routes of one version. `/v1` and `/v2` are this code twice: a repository and its V1 view take the same calls."""

# Annotations are evaluated here, not postponed: FastAPI could not see those that are local to `customers_router`.

from collections.abc import Callable
from typing import Annotated, Any

from bson import ObjectId
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from examples.customers import CustomerV1, CustomerV2
from lazymig import NotFound, V1View

from .storage import Customers
from .wire import BadInput, Wire

#: The repository for clients that speak V2, its view for those that still speak V1.
Door = Customers | V1View[CustomerV1, CustomerV2]


def customer_id(id: str) -> ObjectId:
    """An id from a path or a query. Raises `BadInput`."""
    if not ObjectId.is_valid(id):
        raise BadInput(["id: expected 24 hexadecimal digits"])
    return ObjectId(id)


def starting_after(after: str | None = None) -> ObjectId | None:
    """Where a page starts: behind the last customer of the page before. Raises `BadInput`."""
    return None if after is None else customer_id(after)


Id = Annotated[ObjectId, Depends(customer_id)]
After = Annotated[ObjectId | None, Depends(starting_after)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Fields = Annotated[dict[str, Any], Body()]


def customers_router(version: str, door_of: Callable[[Customers], Door], wire: Wire[Any]) -> APIRouter:
    """Routes under `/{version}/customers`, through this door of the repository and in this JSON."""
    router = APIRouter(prefix=f"/{version}/customers", tags=[version])

    def door(request: Request) -> Door:
        return door_of(request.app.state.customers)

    Customer = Annotated[Any, Depends(door)]  # noqa: N806 - an annotation

    @router.get("")
    async def page(customers: Customer, after: After, limit: Limit = 50) -> JSONResponse:
        # One more than asked for tells whether a next page exists.
        found = [entity async for entity in customers.list(limit=limit + 1, after=after)]
        following = str(found[limit - 1].id) if len(found) > limit else None
        return JSONResponse({"customers": [wire.write(entity) for entity in found[:limit]], "next": following})

    @router.get("/{id}")
    async def get(customers: Customer, id: Id) -> JSONResponse:
        entity = await customers.get(id)
        if entity is None:
            raise NotFound(id)
        return JSONResponse(wire.write(entity))

    @router.post("")
    async def create(customers: Customer, fields: Fields) -> JSONResponse:
        entity = await customers.insert(wire.read(fields))
        return JSONResponse(wire.write(entity), 201, {"Location": f"/{version}/customers/{entity.id}"})

    @router.patch("/{id}")
    async def patch(customers: Customer, id: Id, fields: Fields) -> JSONResponse:
        # The change may be asked for again with a newer entity, when another client was faster.
        return JSONResponse(wire.write(await customers.update(id, lambda entity: wire.patched(entity, fields))))

    @router.delete("/{id}", status_code=204)
    async def delete(customers: Customer, id: Id) -> Response:
        await customers.delete(id)
        return Response(status_code=204)

    return router
