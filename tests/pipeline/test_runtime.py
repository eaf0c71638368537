"""Device, workers, bars and Fabric."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from models.errors import ConfigurationError
from pipeline import runtime


def test_workers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_WORKERS", "5")
    assert runtime.workers() == 5
    monkeypatch.setenv("WEAK2MASK_WORKERS", "many")
    with pytest.raises(ConfigurationError, match="'many'"):
        runtime.workers()
    monkeypatch.delenv("WEAK2MASK_WORKERS")
    assert runtime.workers() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_DEVICE", name)
    with pytest.raises(ConfigurationError, match="WEAK2MASK_DEVICE"):
        runtime.device()


def test_precisions_are_checked_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    with pytest.raises(ConfigurationError, match="bf16-mixed"):
        runtime.fabric("bf16")
    with pytest.raises(ConfigurationError, match="needs a CUDA device"):
        runtime.fabric("16-mixed")


def test_fabric_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    built = runtime.fabric("bf16-mixed")
    assert (built.device.type, built.world_size) == ("cpu", 1)
    assert torch.are_deterministic_algorithms_enabled()


def test_importing_the_runtime_does_not_import_torch() -> None:
    code = "import sys, pipeline.runtime; assert not {'torch', 'lightning_fabric', 'tqdm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
