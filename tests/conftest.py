"""The order of the tests, where it matters."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Prefect leaves threads in the process that tests it, and what is forked from that process fails: it goes last."""
    items.sort(key=lambda item: item.path.name == "test_flow.py")
