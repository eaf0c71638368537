"""Processes beside a GPU: there is none on a CPU, and they compute with one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pipeline.compute.beside import processes_beside_gpu


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    processes_beside_gpu.cache_clear()
    yield
    processes_beside_gpu.cache_clear()


@pytest.mark.parametrize(("device", "workers"), [("cpu", 4), ("cuda", 1), ("cuda", 0)])
def test_none_on_a_cpu_or_without_cores(device: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.compute.runtime.device", lambda: device)
    monkeypatch.setattr("pipeline.compute.runtime.workers", lambda: workers)
    assert processes_beside_gpu() is None


def test_one_thread_each_and_one_pool_for_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.compute.runtime.device", lambda: "cuda")
    monkeypatch.setattr("pipeline.compute.runtime.workers", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    pool = processes_beside_gpu()
    assert pool is not None
    assert pool is processes_beside_gpu()
    with pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
        assert pool.submit(os.getpid).result() != os.getpid()
