"""One attribute moves to a collection of its own: `users.full_name` to `users_pii`. The rest of a user stays."""

import os
from typing import Any

from attrs import field, frozen
from pymongo import AsyncMongoClient

from lazymig import Control, Migration, Repository


@frozen
class FullName:
    """What moves, as `users` holds it today: the id, and the attributes that go."""

    id: int
    full_name: str


def _is_one_word(_pii: object, _attribute: object, first: str) -> None:
    if " " in first:
        raise ValueError("first must be one word: users.full_name could not say where it ends")


@frozen
class Pii:
    """What `users_pii` holds."""

    id: int
    first: str = field(validator=_is_one_word)
    last: str | None


def to_v2(v1: FullName) -> Pii:
    first, blank, last = v1.full_name.partition(" ")
    return Pii(v1.id, first, last if blank else None)


def to_v1(v2: Pii) -> FullName:
    return FullName(v2.id, v2.first if v2.last is None else f"{v2.first} {v2.last}")


migration = Migration(name="users_pii", v1=FullName, v2=Pii, upgrade=to_v2, downgrade=to_v1, part=True)


class Accounts:
    """Another program, on the plain driver. It uses the same documents, and knows nothing of lazymig or of names."""

    def __init__(self, users: Any) -> None:
        self._users = users

    async def sign_up(self, id: int, mail: str) -> None:
        await self._users.insert_one({"_id": id, "mail": mail, "logins": 0})

    async def log_in(self, id: int) -> None:
        await self._users.update_one({"_id": id}, {"$inc": {"logins": 1}, "$currentDate": {"seen": True}})

    async def close(self, id: int) -> None:
        await self._users.delete_one({"_id": id})


def open_in(database: Any) -> Repository[FullName, Pii]:
    """The repository of the names in this database; the phase is the one that its control collection records."""
    control = Control(database["lazymig_control"])
    return Repository(migration, v1=database["users"], v2=database["users_pii"], phase=control)


def repository() -> Repository[FullName, Pii]:
    """What `lazymig --app examples.users_pii:repository` opens."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost"))
    return open_in(client[os.environ.get("MONGODB_DATABASE", "shop")])
