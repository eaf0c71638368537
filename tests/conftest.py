"""The order of the tests, where it matters, and the settings of property tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import hypothesis
import pytest

os.environ.setdefault("DVC_NO_ANALYTICS", "1")  # of projects that tests make; test_connections.py does without

LONG = (
    "test_tutorials.py",
    "test_end_to_end.py",
    "test_cases.py",
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
    """Long files first. Prefect is last: it leaves threads, and forks of such a process fail."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: (item.path.name == "test_flow.py", order.get(item.path.name, len(order))))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=("cpu", "cuda", "pretend"), default="cpu", help="of tests/models and networks")
    parser.addoption("--arithmetic", choices=("float32", "tf32", "bfloat16"), default="float32", help="of the same")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test of models runs on the device that is asked for, its fixtures too."""
    device, arithmetic = (item.config.getoption(name) for name in ("--device", "--arithmetic"))
    if (device, arithmetic) == ("cpu", "float32") or not _has_no_device(item):
        return (yield)
    from tests.helpers.on_device import computing

    with computing(device, arithmetic):
        return (yield)


def _has_no_device(item: pytest.Item) -> bool:
    """Whether it names no device itself."""
    of_models = "models" in item.path.parts and "pretend" not in item.path.name
    return of_models or item.path.name == "test_official_networks.py"
