"""A FastAPI service whose clients speak V1 and V2 side by side, over one repository.

Read `storage.py` for how the repository is made, `doors.py` for the routes (the same code serves both versions),
`wire.py` for the entities as JSON, `failures.py` for errors as responses, and `app.py` for how they come together.
"""
