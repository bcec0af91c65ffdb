"""The two shapes of a user, and the conversions between them."""

from attrs import field, frozen

from lazymig import Migration


@frozen
class UserV1:
    """A user as the old service stores it."""

    id: int
    full_name: str
    email: str


def _is_one_word(_user: object, _attribute: object, first: str) -> None:
    if " " in first:
        raise ValueError("first must be one word: the old service could not say where it ends")


@frozen
class UserV2:
    """A user as the new service knows it. `email` has the same name and type in both shapes, and is stored once."""

    id: int
    first: str = field(validator=_is_one_word)
    last: str | None
    email: str
    #: Only V2 has this: what the old service writes must not reset it.
    logins: int = 0


def upgrade(user: UserV1, previous: UserV2 | None) -> UserV2:
    """Split the name at its first blank. What only V2 knows comes from the previous entity."""
    first, blank, last = user.full_name.partition(" ")
    return UserV2(user.id, first, last if blank else None, user.email, previous.logins if previous else 0)


def downgrade(user: UserV2) -> UserV1:
    """Join the name again. It is exactly the text that `upgrade` would split into the same two parts."""
    return UserV1(user.id, user.first if user.last is None else f"{user.first} {user.last}", user.email)


migration = Migration(name="users", v1=UserV1, v2=UserV2, upgrade=upgrade, downgrade=downgrade)
