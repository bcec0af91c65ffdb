"""The new service. It speaks V2's shape, in every phase."""

from __future__ import annotations

import os
import re
from typing import Any

from attrs import evolve, frozen
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from lazymig import Control, Criteria, Phase, Repository

from .shapes import UserV1, UserV2, migration

Users = Repository[UserV1, UserV2]


def open_users(collection: AsyncCollection[dict[str, Any]], phase: Phase | Control) -> Users:
    """The users, whose documents carry both shapes."""
    return Repository.in_place(migration, collection, phase=phase)


async def repository() -> Users:
    """What `lazymig --app examples.in_place:repository` opens. All processes follow the phase that is recorded."""
    client = AsyncMongoClient[dict[str, Any]](
        os.environ.get("MONGODB_URI", "mongodb://127.0.0.1:27017/?replicaSet=rs0")
    )
    database = client[os.environ.get("MONGODB_DATABASE", "shop")]
    return open_users(database["users"], Control(database["lazymig_control"]))


@frozen
class NewService:
    """What it does with users. None of this depends on the phase."""

    users: Users

    async def sign_up(self, id: int, first: str, last: str, email: str) -> UserV2:
        """Store a new user."""
        return await self.users.insert(UserV2(id, first, last, email))

    async def find(self, id: int) -> UserV2 | None:
        """A user as it is now, no matter which service wrote it last."""
        return await self.users.get(id)

    async def marry(self, id: int, last: str) -> UserV2:
        """Give a user another last name."""
        return await self.users.update(id, lambda user: evolve(user, last=last))

    async def log_in(self, id: int) -> UserV2:
        """Count a login, which the old service knows nothing of."""
        return await self.users.update(id, lambda user: evolve(user, logins=user.logins + 1))

    async def family(self, last: str) -> list[UserV2]:
        """All users with this last name. Until `v2_primary` V1 is asked, where it is what follows the first blank."""
        question = Criteria(v1={"full_name": {"$regex": f"^[^ ]* {re.escape(last)}$"}}, v2={"last": last})
        return [user async for user in self.users.list(question)]
