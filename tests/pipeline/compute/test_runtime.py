"""Device, workers, bars and Fabric."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from models.errors import ConfigurationError
from pipeline.compute import runtime


def test_workers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_WORKERS", "5")
    assert runtime.workers() == 5
    for name in ("many", "²", "-1"):
        monkeypatch.setenv("WEAK2MASK_WORKERS", name)
        with pytest.raises(ConfigurationError, match=f"'{name}'"):
            runtime.workers()
        monkeypatch.setenv("WEAK2MASK_DEVICES", name)
        with pytest.raises(ConfigurationError, match=f"'{name}'"):
            runtime.devices()
    monkeypatch.delenv("WEAK2MASK_WORKERS")
    assert runtime.workers() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", "cuda:²"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_DEVICE", name)
    with pytest.raises(ConfigurationError, match="WEAK2MASK_DEVICE"):
        runtime.device()


def test_a_cpu_with_a_number_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu:0")
    assert runtime.device() == "cpu"


def test_precisions_are_checked_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    with pytest.raises(ConfigurationError, match="bf16-mixed"):
        runtime.fabric("bf16")
    with pytest.raises(ConfigurationError, match="needs a CUDA device"):
        runtime.fabric("16-mixed")


def test_fabric_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    monkeypatch.setattr("models.ops.half_precision.is_fast_in", lambda dtype, kind: True)
    built = runtime.fabric("bf16-mixed")
    assert (built.device.type, built.world_size) == ("cpu", 1)
    assert built.strategy.precision.precision == "bf16-mixed"
    assert torch.are_deterministic_algorithms_enabled()


def test_a_cpu_without_bfloat16_computes_in_float32_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    monkeypatch.setattr("models.ops.half_precision.is_fast_in", lambda dtype, kind: False)
    with pytest.warns(UserWarning, match=r"no instructions for bfloat16.*float32"):
        built = runtime.fabric("bf16-mixed")
    assert built.strategy.precision.precision == "32-true"


def test_float32_is_fast_everywhere_and_half_precision_is_asked_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from models.ops.half_precision import is_fast_in

    assert is_fast_in(torch.float32, "cpu")
    assert is_fast_in(torch.bfloat16, "cuda")
    for dtype in (torch.bfloat16, torch.float16):
        assert isinstance(is_fast_in(dtype, "cpu"), bool)
        monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
        assert not is_fast_in(dtype, "cpu")
        monkeypatch.undo()


def test_importing_the_runtime_does_not_import_torch() -> None:
    code = "import sys, pipeline.compute.runtime; assert not {'torch', 'lightning_fabric', 'tqdm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
