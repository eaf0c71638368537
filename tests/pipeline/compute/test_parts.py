"""Chunks: their order, one compute thread, failures, a process that is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError, TransientError
from pipeline.compute.chunks import map_chunks
from pipeline.compute.engines.fork_server import pickled


def _square(chunk: int) -> int:
    return chunk * chunk


def _threads(chunk: int) -> tuple[int, str]:
    import torch

    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def _write_or_fail(folder: Path, chunk: int) -> None:
    if chunk == 1:
        raise DataError("part one is broken")
    (folder / str(chunk)).write_text("done")


def _die(chunk: int) -> None:
    os._exit(9)


def test_results_come_in_the_order_of_the_chunks() -> None:
    assert map_chunks(_square, [3, 1, 2], "squares", workers=2) == [9, 1, 4]
    assert map_chunks(_square, [3, 1], "squares", workers=0) == [9, 1]
    assert map_chunks(_square, [], "squares") == []


def test_workers_compute_with_one_thread_and_leave_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert map_chunks(_threads, [0], "threads", workers=1) == [(1, "1")]
    assert os.environ["OMP_NUM_THREADS"] == "2"


def _variable(chunk: int) -> str | None:
    return os.environ.get("WEAK2MASK_OF_A_TEST")


def test_workers_have_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("WEAK2MASK_OF_A_TEST", value)
        assert map_chunks(_variable, [0], "variables", workers=1) == [value]
    monkeypatch.delenv("WEAK2MASK_OF_A_TEST")
    assert map_chunks(_variable, [0], "variables", workers=1) == [None]


LOADED = """
import os

PROCESS = os.getpid()


def processes(chunk):
    return PROCESS, os.getppid(), os.getpid()
"""
RUN = """
import os, loaded
from pipeline.compute.chunks import map_chunks

if __name__ == "__main__":
    for imported, parent, worker in map_chunks(loaded.processes, range(4), "parts", workers=2):
        assert imported == parent != os.getpid() and worker not in (parent, os.getpid()), (imported, parent, worker)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forks on Linux only")
def test_what_a_task_needs_is_imported_once_for_all_workers(tmp_path: Path) -> None:
    (tmp_path / "loaded.py").write_text(LOADED)
    (tmp_path / "run.py").write_text(RUN)
    folders = os.pathsep.join((str(tmp_path), str(Path.cwd())))
    variables = os.environ | {"PYTHONPATH": folders, "WEAK2MASK_ENGINE": ""}
    done = subprocess.run([sys.executable, tmp_path / "run.py"], env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_a_pickled_task_names_its_modules(tmp_path: Path) -> None:
    _, modules = pickled(partial(_write_or_fail, tmp_path))
    assert modules >= {__name__, "functools", "pathlib"}
    assert not modules & {"torch", "numpy"}


def test_a_failing_chunk_raises_its_own_error_and_the_others_are_kept(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="part one is broken") as caught:
        map_chunks(partial(_write_or_fail, tmp_path), [0, 1], "writing", workers=1)
    assert "writing: in part 1" in caught.value.__notes__
    assert (tmp_path / "0").read_text() == "done"


def _too_large(chunk: int) -> None:
    raise MemoryError


def test_killed_workers_are_a_message_with_a_remedy() -> None:
    with pytest.raises(TransientError, match=r"At work: part 7, part 8\. .*WEAK2MASK_WORKERS=1"):
        map_chunks(_die, [7, 8, 9], "dying", workers=2)


@pytest.mark.parametrize(("task", "workers"), [(_die, 1), (_too_large, 1), (_too_large, 0)])
def test_too_little_memory_for_one_worker_is_no_reason_to_try_again(task: Any, workers: int) -> None:
    with pytest.raises(DataError, match=r"in part 7\. .*smaller copies") as caught:
        map_chunks(task, [7, 8], "dying", workers=workers)
    assert "WEAK2MASK_WORKERS" not in str(caught.value)
