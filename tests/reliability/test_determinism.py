"""Same inputs, same bytes: every verb again, in another process, with other engines and numbers of workers or threads.

What is claimed: on a CPU of one kind every artefact has the same bytes whatever runs it. A training is the one
exception: its bytes are those of one number of threads (``pipeline.compute.runtime.be_deterministic``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from pipeline.book.params import Book
from pipeline.compute.engines import cluster
from tests.helpers.ports import free_port
from tests.reliability import every_verb
from tests.reliability.every_verb import ENTRIES, make, make_all, output, write_book

SETTINGS = ("WEAK2MASK_ENGINE", "WEAK2MASK_DASK", "WEAK2MASK_WORKERS")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch computes with so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Book, dict[str, str]]]:
    """The book with every verb, made once, one chunk after another by one thread, and the hash of each artefact."""
    with pytest.MonkeyPatch.context() as patch, threads(1):
        patch.chdir(tmp_path_factory.mktemp("determinism"))
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        patch.setenv("WEAK2MASK_ENGINE", "here")
        patch.setenv("WEAK2MASK_DEVICE", "cpu")
        book = write_book()
        yield book, make_all(book)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A Dask cluster of two workers."""
    with cluster.served(2, free_port()) as address:
        yield address


def again(made: tuple[Book, dict[str, str]], verb: str, book: Book | None = None) -> None:
    """Make an entry a second time: the bytes are those of the first time."""
    name = ENTRIES[verb]
    shutil.rmtree(output(made[0], verb, name))
    assert make(book or made[0], verb, name) == made[1][f"{verb}@{name}"], (verb, name)


def test_every_verb_is_among_them() -> None:
    from pipeline.book.artifacts import VERBS

    assert sorted(ENTRIES) == sorted(VERBS)


@pytest.mark.slow
def test_another_process_with_other_orders_of_sets(first: tuple[Book, dict[str, str]], tmp_path: Path) -> None:
    """Also in another folder, which no artefact may remember, and with another hash of strings."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, every_verb.__file__, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == first[1]


@pytest.mark.parametrize("verb", [verb for verb in ENTRIES if verb != "train"])
def test_more_threads(first: tuple[Book, dict[str, str]], verb: str) -> None:
    with threads(3):
        again(first, verb)
        assert torch.get_num_threads() == 3


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in ENTRIES if verb not in ("prepare", "train")])
def test_workers_of_a_cluster(
    first: tuple[Book, dict[str, str]], verb: str, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    monkeypatch.setenv("WEAK2MASK_DASK", scheduler)
    again(first, verb)


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in ENTRIES if verb != "train"])
def test_processes_of_a_pool(first: tuple[Book, dict[str, str]], verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_ENGINE", "processes")
    monkeypatch.setenv("WEAK2MASK_WORKERS", "2")
    again(first, verb)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_processes_that_load_a_training(first: tuple[Book, dict[str, str]], count: int) -> None:
    book = first[0]
    entry = book.train[ENTRIES["train"]]
    other = entry.model_copy(update={"loader": entry.loader | {"num_workers": count}})
    again(first, "train", book.changed({"train": book.train | {ENTRIES["train"]: other}}))
