"""The routes of one version. `/v1` and `/v2` are this code twice: a repository and its V1 view take the same calls."""

# Annotations are evaluated here, not postponed: FastAPI could not see those that are local to `customers_router`.

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from examples.customers_in_pydantic import CustomerV1, CustomerV2, Id
from lazymig import NotFound, V1View

from .storage import Customers

#: The repository for clients that speak V2, its view for those that still speak V1.
Door = Customers | V1View[CustomerV1, CustomerV2]
Entity = TypeVar("Entity", CustomerV1, CustomerV2)
Limit = Annotated[int, Query(ge=1, le=1000)]
Fields = Annotated[dict[str, Any], Body()]


class Page(BaseModel, Generic[Entity]):
    """Some customers, and where the next page starts, if there is one."""

    customers: list[Entity]
    next: Id | None


def patched(entity: Entity, fields: dict[str, Any]) -> Entity:
    """The entity with these fields replaced as a whole, and the others left exactly as they are.

    Raises `ValidationError`, and `RequestValidationError` for an unknown field and for the id, which an entity keeps.
    """
    cls = type(entity)
    if strangers := sorted(fields.keys() - (cls.model_fields.keys() - {"id"})):
        errors = [{"type": "extra_forbidden", "loc": ("body", name), "msg": "cannot be changed"} for name in strangers]
        raise RequestValidationError(errors)
    return cls.model_validate(dict(entity) | fields)


def customers_router(version: str, door_of: Callable[[Customers], Door], entity: type[Entity]) -> APIRouter:
    """Routes under `/{version}/customers`, through this door of the repository and for entities of this class."""
    router = APIRouter(prefix=f"/{version}/customers", tags=[version])

    def door(request: Request) -> Door:
        return door_of(request.app.state.customers)

    Customer = Annotated[Any, Depends(door)]  # noqa: N806 - an annotation

    @router.get("")
    async def page(customers: Customer, limit: Limit = 50, after: Id | None = None) -> Page[entity]:
        # One more than asked for shows whether there is a next page.
        found = [one async for one in customers.list(limit=limit + 1, after=after)]
        return Page[entity](customers=found[:limit], next=found[limit - 1].id if len(found) > limit else None)

    @router.get("/{id}")
    async def get(customers: Customer, id: Id) -> entity:
        found = await customers.get(id)
        if found is None:
            raise NotFound(id)
        return found

    @router.post("", status_code=201)
    async def create(customers: Customer, customer: entity, response: Response) -> entity:
        created = await customers.insert(customer)
        response.headers["Location"] = f"/{version}/customers/{created.id}"
        return created

    @router.patch("/{id}")
    async def patch(customers: Customer, id: Id, fields: Fields) -> entity:
        # The change may be asked for again with a newer entity, when another client was faster.
        return await customers.update(id, lambda one: patched(one, fields))

    @router.delete("/{id}", status_code=204)
    async def delete(customers: Customer, id: Id) -> None:
        await customers.delete(id)

    return router
