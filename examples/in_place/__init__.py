"""Two shapes in one document: `full_name` becomes two fields beside an old service that goes on writing it.

Both shapes stand in the same document (`lazymig.Repository.in_place`). Read `shapes.py` for the two classes and the
conversions, `old_service.py` for the program that nobody changes, and `new_service.py` for the one that replaces it.
"""

from .new_service import NewService, open_users, repository
from .old_service import OldService
from .shapes import UserV1, UserV2, migration

__all__ = ["NewService", "OldService", "UserV1", "UserV2", "migration", "open_users", "repository"]
