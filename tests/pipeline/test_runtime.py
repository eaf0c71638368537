"""Device, workers, the process pool and Fabric."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from models.errors import ConfigurationError, DataError
from pipeline import runtime


def _square(part: int) -> int:
    return part * part


def _threads(part: int) -> tuple[int, str]:
    import torch

    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def _write_or_fail(folder: Path, part: int) -> None:
    if part == 1:
        raise DataError("part one is broken")
    (folder / str(part)).write_text("done")


def _die(part: int) -> None:
    os._exit(9)


def test_results_come_in_the_order_of_the_parts() -> None:
    assert runtime.map_parts(_square, [3, 1, 2], "squares", workers=2) == [9, 1, 4]
    assert runtime.map_parts(_square, [3, 1], "squares", workers=0) == [9, 1]
    assert runtime.map_parts(_square, [], "squares") == []


def test_workers_compute_with_one_thread_and_leave_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert runtime.map_parts(_threads, [0], "threads", workers=1) == [(1, "1")]
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_a_failing_part_raises_its_own_error_and_the_others_are_kept(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="part one is broken") as caught:
        runtime.map_parts(partial(_write_or_fail, tmp_path), [0, 1], "writing", workers=1)
    assert "writing: in part 1" in caught.value.__notes__
    assert (tmp_path / "0").read_text() == "done"


def test_a_killed_worker_is_a_message_with_a_remedy() -> None:
    with pytest.raises(runtime.Weak2MaskError, match="WEAK2MASK_WORKERS=1"):
        runtime.map_parts(_die, [0], "dying", workers=1)


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


def test_progress_yields_everything_and_writes_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(runtime.progress(range(3), 3, "counting")) == [0, 1, 2]
    assert capsys.readouterr().out == ""


def test_importing_the_runtime_does_not_import_torch() -> None:
    code = "import sys, pipeline.runtime; assert not {'torch', 'lightning_fabric', 'tqdm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_only_one_of_several_processes_shows_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (True, False):
        with runtime.steps_bar(3, 0, "train", shown) as bar:
            bar.update()
        assert bool(capsys.readouterr().err) == shown
