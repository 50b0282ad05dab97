"""Fixtures shared by the backend's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of optional real volumes beside the project; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the optional real volumes (../shared/data) are not here")
    return SHARED_DATA
