"""Checks of a migration's collections before they are used, and messages about what must be changed."""
