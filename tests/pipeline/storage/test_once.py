"""What a stage reads is opened once a process, on every engine, and its bytes do not depend on that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.errors import DataError
from pipeline.compute.chunks import run_chunks
from pipeline.storage.once import open_once
from pipeline.storage.reader import OPEN_SHARDS
from pipeline.storage.stores import Header, MaskStore


def write(path: Path, count: int, value: int = 1, shard_size: int = 2) -> None:
    ids = tuple(f"i{k}" for k in range(count))
    writer = MaskStore.create(path, Header(ids, ((2, 3),) * count, ("cat", "dog"), "digest"), shard_size)
    for k in range(writer.count):
        writer.write(k, [np.full((2, 3), value, np.uint8) for _ in writer.shard_ids(k)])
    writer.finish()


@dataclass(frozen=True)
class Counted:
    """Opens a file and leaves a line for each time that it did."""

    log: Path

    def __call__(self, path: Path) -> str:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return (path / "mark").read_text()


def _read(folder: Path, k: int) -> str:
    return f"{k} {open_once(Counted(folder / 'opened'), folder, 'mark')}"


def test_a_changed_file_is_opened_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.write_text("one")
    read = partial(_read, tmp_path)
    assert [read(0), read(1)] == ["0 one", "1 one"]
    mark.write_text("two")
    os.utime(mark, ns=(1, 1))
    assert read(2) == "2 two"
    assert len((tmp_path / "opened").read_text().split()) == 2


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_chunks_of_a_process_share_what_it_opened(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_ENGINE", engine)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "2")
    (tmp_path / "mark").write_text("one")
    assert run_chunks(partial(_read, tmp_path), range(8), "reading") == [f"{k} one" for k in range(8)]
    processes = (tmp_path / "opened").read_text().split()
    assert len(processes) == len(set(processes)) <= 2


def test_a_store_is_opened_once_and_again_when_it_was_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "masks"
    write(path, 3)
    first = MaskStore.opened(path)
    assert MaskStore.opened(path) is first
    write(path, 5, value=2)
    again = MaskStore.opened(path)
    assert len(again) == 5
    assert again["i4"].max() == 2
    with pytest.raises(DataError, match="found nothing"):
        MaskStore.opened(tmp_path / "none")


def test_a_store_keeps_few_shards_open(tmp_path: Path) -> None:
    path = tmp_path / "masks"
    write(path, OPEN_SHARDS + 3, shard_size=1)
    store = MaskStore.opened(path)
    assert all(store[id].shape == (2, 3) for id in store.ids)
    assert len(store._shards) == OPEN_SHARDS
    assert store["i0"].shape == (2, 3)
