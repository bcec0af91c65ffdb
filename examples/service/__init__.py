"""A FastAPI service whose clients speak V1 and V2 side by side, over one repository.

The entities are pydantic models (`examples/customers_in_pydantic.py`), so they are what the requests and the responses
hold, too. Read `storage.py` for how the repository is made, `doors.py` for the routes (the same code serves both
versions), `failures.py` for errors as responses, and `app.py` for how they come together.
"""
