"""The old service: plain PyMongo on the same collection. It knows nothing of lazymig, and is not changed at all."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection


@frozen
class OldService:
    """What it does with users. It sets the fields that it changes by name, and leaves all others alone."""

    users: AsyncCollection[dict[str, Any]]

    async def sign_up(self, id: int, full_name: str, email: str) -> None:
        """Store a new user."""
        await self.users.insert_one({"_id": id, "full_name": full_name, "email": email})

    async def rename(self, id: int, full_name: str) -> bool:
        """Give a user another name; False if there is no such user."""
        found = await self.users.update_one({"_id": id}, {"$set": {"full_name": full_name}})
        return found.matched_count == 1

    async def add_initial(self, id: int, initial: str) -> str | None:
        """Append to a name within the database, and return the new name."""
        longer = [{"$set": {"full_name": {"$concat": ["$full_name", " ", initial]}}}]
        found = await self.users.find_one_and_update({"_id": id}, longer, return_document=ReturnDocument.AFTER)
        return None if found is None else found["full_name"]

    async def name_of(self, id: int) -> str | None:
        """A user's name, or None."""
        found = await self.users.find_one({"_id": id}, {"full_name": 1})
        return None if found is None else found["full_name"]

    async def close_account(self, id: int) -> None:
        """Delete a user."""
        await self.users.delete_one({"_id": id})
