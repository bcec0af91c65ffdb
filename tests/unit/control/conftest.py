"""What the tests of the control collection share."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig import Control
from tests.people import TestClock


@pytest.fixture
def clock() -> TestClock:
    """Stands until it is moved."""
    return TestClock()


@pytest.fixture
def control(database: Any, clock: TestClock) -> Control:
    """An empty control collection."""
    return Control(database["control"], clock)
