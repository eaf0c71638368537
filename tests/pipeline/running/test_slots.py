"""How much runs at once."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from models.errors import ConfigurationError, TransientError
from pipeline.running.slots import Slots, device_environments


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("WEAK2MASK_DEVICE", "WEAK2MASK_DEVICES", "WEAK2MASK_WORKERS"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_gpu_one_training_has_the_machine() -> None:
    assert device_environments() == [{}]
    slots = Slots(jobs=4)
    assert (slots.jobs, slots.devices) == (4, 1)


@pytest.mark.parametrize(
    ("visible", "each", "expected"),
    [("0,1", "1", ["0", "1"]), ("3,5,6,7", "2", ["3,5", "6,7"]), ("0,1,2", "2", None), ("0", "1", None)],
)
def test_each_training_sees_gpus_of_its_own(
    monkeypatch: pytest.MonkeyPatch, visible: str, each: str, expected: list[str] | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("WEAK2MASK_DEVICES", each)
    shares = [share["CUDA_VISIBLE_DEVICES"] for share in device_environments() if share]
    assert (shares or None) == expected


def test_a_named_device_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cuda:1")
    assert device_environments() == [{}]


def test_gpus_are_counted_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'GPU 0: A (UUID: x)\\n  MIG 1g: y\\nGPU 1: B (UUID: z)\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [share["CUDA_VISIBLE_DEVICES"] for share in device_environments()] == ["0", "1"]


def test_a_second_training_waits_and_other_stages_do_not() -> None:
    slots = Slots(jobs=2)
    taken: list[str] = []

    def training() -> None:
        with slots.take(gpu=True):
            taken.append("training")

    with slots.take(gpu=True):
        waiting = Thread(target=training)
        waiting.start()
        with slots.take(gpu=False):
            assert taken == []
    waiting.join(10)
    assert taken == ["training"]


def test_nobody_gets_a_place_when_the_run_ends() -> None:
    slots = Slots(jobs=1)
    slots.close()
    for gpu in (True, False):
        with pytest.raises(TransientError, match="ending"), slots.take(gpu):
            pass


def test_less_than_one_job_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="found 0"):
        Slots(jobs=0)
