"""The order of the tests, where it matters, and the settings of property tests."""

from __future__ import annotations

import hypothesis
import pytest

FIRST = ("test_stages_pretend_gpu.py", "test_pretend_gpu.py")
"""Before ``torch.export`` has run in the process: it leaves decompositions in Python, which ask for a real driver."""
LONG = (
    "test_tutorials.py",
    "test_end_to_end.py",
    "test_dry_run.py",
    "test_versions.py",
    "test_install.py",
    "test_onnx.py",
    "test_engines.py",
    "test_recipes.py",
    "test_cam_methods.py",
    "test_spml_chains.py",
    "test_single_stage.py",
    "test_init.py",
)
"""Files that take longest, which begin first: a core that gets one of them last works on alone."""

hypothesis.settings.register_profile(  # a busy machine is no failure
    "weak2mask", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("weak2mask")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The pretend GPU, then long files. Prefect is last: it leaves threads, and forks of such a process fail."""
    order = {name: place for place, name in enumerate(FIRST + LONG)}
    items.sort(key=lambda item: (item.path.name == "test_flow.py", order.get(item.path.name, len(order))))
