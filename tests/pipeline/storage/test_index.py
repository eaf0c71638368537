"""The images of a large store: the same answers, from files that open at once."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from models.errors import DataError
from models.structures import Cam
from pipeline.storage import index, reader
from pipeline.storage.header import Header
from pipeline.storage.stores import CamStore, MaskStore

IDS = ("zebra", "Früchte 1", "a", "b", "image_0000001")
KEYS = [(1,), (), (1, 2), (2,), (1,)]
SIZES = ((8, 6), (4, 4), (5, 7), (6, 6), (3, 9))


def write(path: Path, scale: float = 1.0) -> None:
    writer = CamStore.create(path, Header(IDS, SIZES, ("cat", "dog"), "digest"), KEYS, shard_size=2)
    for k in range(writer.count):
        writer.write(k, [cam(IDS.index(name), scale) for name in writer.shard_ids(k)])
    writer.finish()


def cam(position: int, scale: float = 1.0) -> Cam:
    scores = np.full((len(KEYS[position]), 2, 2), scale * position / 8, np.float32)
    return Cam(np.array(KEYS[position], np.int64), scores, SIZES[position])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(index, "LARGE", 1)
    write(Path("cams"))
    return Path("cams")


def kept() -> list[Path]:
    return sorted(index.PLACE.glob("*/*"))


def check(found: CamStore, scale: float = 1.0) -> None:
    assert found.ids == IDS
    assert found.keys == tuple(KEYS)
    assert found.header == Header(IDS, SIZES, ("cat", "dog"), "digest")
    assert "zebra" in found
    assert "zebr" not in found
    assert "a name that is longer than all of them" not in found
    for position, name in enumerate(IDS):
        expected, got = cam(position, scale), found[name]
        assert got.classes.tolist() == expected.classes.tolist()
        assert got.size == expected.size
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-3)


def test_the_second_opening_reads_no_json(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(CamStore(store))
    assert len(kept()) == 1
    monkeypatch.setattr(reader, "_opened", lambda *_: pytest.fail("the JSON was read"))
    check(CamStore(store))
    check(pickle.loads(pickle.dumps(CamStore(store))))  # noqa: S301
    with pytest.raises(DataError, match="expected a store of kind 'masks', found 'cams'"):
        MaskStore(store)
    with pytest.raises(DataError, match="but not 1 that the test needs: lion"):
        CamStore(store).require(["zebra", "lion"], "the test")


def test_a_store_that_changed_is_read_anew_and_the_old_arrays_go(store: Path) -> None:
    CamStore(store)
    before = kept()
    write(store, scale=0.5)
    check(CamStore(store), scale=0.5)
    assert len(kept()) == 1
    assert kept() != before


def test_a_lost_shard_is_an_error(store: Path) -> None:
    CamStore(store)
    os.rename(store / "part_00001", store.parent / "gone")
    with pytest.raises(DataError, match="expected a whole store of 3 parts, found part_00001 missing"):
        CamStore(store)


@pytest.mark.parametrize("damage", ["names.npy", "rest.json"])
def test_damaged_arrays_are_made_again(store: Path, damage: str) -> None:
    CamStore(store)
    (kept()[0] / damage).write_bytes(b"")
    check(CamStore(store))
    (kept()[0] / damage).unlink()
    check(CamStore(store))


def test_small_stores_keep_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("cams"))
    check(CamStore(Path("cams")))
    assert not index.PLACE.exists()


def test_what_another_process_is_saving_stays(store: Path) -> None:
    CamStore(store)
    saving = kept()[0].with_name("1234.5.partial")
    saving.mkdir()
    (saving / "names.npy").write_bytes(b"half")
    write(store, scale=0.5)
    check(CamStore(store), scale=0.5)
    assert saving in kept()
    assert len(kept()) == 2


def test_arrays_that_cannot_be_kept_stop_nobody(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(index.np, "save", full)
        check(CamStore(store))
    assert kept() == []
    index.PLACE.parent.rename("gone")
    index.PLACE.parent.write_text("no folder")
    check(CamStore(store))
