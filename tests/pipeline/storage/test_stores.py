from __future__ import annotations

import hashlib
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from models.structures import Cam, Mask, Supervision
from pipeline.datasets.voc_colours import voc_palette
from pipeline.pictures.palette import export_png
from pipeline.storage import shards
from pipeline.storage.stores import CamStore, CamWriter, Header, MaskStore, MaskWriter, SupervisionStore
from pipeline.storage.sums import FILE

SIZES = ((20, 30), (33, 21), (10, 10), (25, 40), (18, 18))
NAMES = ("cat", "dog", "cow")
HEADER = Header(tuple(f"image_{i}" for i in range(5)), SIZES, NAMES, "digest-of-the-catalogue")
KEYS = ((1, 3), (), (2,), (1, 2, 3), ())


def make_cam(position: int, grid: tuple[int, int] | None = None) -> Cam:
    rng = np.random.default_rng(position)
    grid = grid or (4 + position, 9 - position)
    classes = np.array(KEYS[position], np.int64)
    return Cam(classes, rng.random((len(classes), *grid), np.float32), SIZES[position])


def make_mask(position: int) -> Mask:
    rng = np.random.default_rng(position)
    return rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), SIZES[position])


def make_supervision(position: int) -> Supervision:
    rng = np.random.default_rng(position)
    supervision = Supervision(
        tags=np.array([c in KEYS[position] for c in (1, 2, 3)]),
        seeds=rng.choice(np.array([0, 3, 254, 255], np.uint8), SIZES[position]),
    )
    if position % 2:
        segments = rng.integers(0, 70000, SIZES[position]).astype(np.int32)
        boxes = (rng.random((position - 1, 4)) * 20).astype(np.float32)
        classes = rng.integers(1, 4, position - 1)
        supervision = replace(supervision, segments=segments, boxes=boxes, box_classes=classes)
    return supervision


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in files)).hexdigest()


def write_all(writer: Any, make: Any, order: list[int] | None = None) -> Path:
    for k in order if order is not None else range(writer.count):
        writer.write(k, [make(int(name.removeprefix("image_"))) for name in writer.shard_ids(k)])
    return Path(writer.finish())


def write_cam_shard(writer: CamWriter, k: int) -> None:
    writer.write(k, [make_cam(int(name.removeprefix("image_"))) for name in writer.shard_ids(k)])


@pytest.fixture
def cams(tmp_path: Path) -> CamStore:
    write_all(CamStore.create(tmp_path / "cams", HEADER, KEYS, shard_size=2), make_cam)
    return CamStore(tmp_path / "cams")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2**-11), ("uint8", 0.5 / 255 + 1e-7)])
@pytest.mark.parametrize("shard_size", [1, 2, 64])
def test_cams_come_back(tmp_path: Path, dtype: Any, tolerance: float, shard_size: int) -> None:
    write_all(CamStore.create(tmp_path / "cams", HEADER, KEYS, dtype, shard_size), make_cam)
    store = CamStore(tmp_path / "cams")
    assert (store.ids, store.class_names, store.keys, len(store)) == (HEADER.ids, NAMES, KEYS, 5)
    assert [name for name, _ in store] == list(HEADER.ids)
    for position, (name, cam) in enumerate(store):
        expected = make_cam(position)
        for found in (cam, store[name]):
            assert found.scores.dtype == np.float32
            assert found.size == SIZES[position]
            assert found.classes.tolist() == list(KEYS[position])
            np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=tolerance)


def test_masks_come_back(tmp_path: Path) -> None:
    write_all(MaskStore.create(tmp_path / "masks", HEADER, shard_size=3), make_mask)
    store = MaskStore(tmp_path / "masks")
    for position, (name, mask) in enumerate(store):
        np.testing.assert_array_equal(mask, make_mask(position))
        np.testing.assert_array_equal(store[name], mask)


@pytest.mark.parametrize("shard_size", [1, 2, 64])
def test_supervision_comes_back(tmp_path: Path, shard_size: int) -> None:
    write_all(SupervisionStore.create(tmp_path / "supervision", HEADER, shard_size), make_supervision)
    store = SupervisionStore(tmp_path / "supervision")
    for position, (name, found) in enumerate(store):
        expected = make_supervision(position)
        np.testing.assert_array_equal(store.tags(name), expected.tags)
        for item in (found, store[name]):
            for field in ("tags", "seeds", "segments", "boxes", "box_classes"):
                value, wanted = getattr(item, field), getattr(expected, field)
                assert (value is None) == (wanted is None), field
                if wanted is not None:
                    np.testing.assert_array_equal(value, wanted)
                    assert value.dtype == wanted.dtype


def test_tags_read_no_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(SupervisionStore.create(tmp_path / "supervision", HEADER), make_supervision)
    store = SupervisionStore(tmp_path / "supervision")
    monkeypatch.setattr(shards, "read_shard", lambda *_: pytest.fail("an array was opened"))
    assert store.tags("image_3").tolist() == [True, True, True]


def test_iteration_decodes_each_shard_once(cams: CamStore, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[shards.Shard] = []

    def loaded(shard: shards.Shard, load: Any = shards.Shard.loaded) -> Any:
        loads.append(shard)
        return load(shard)

    monkeypatch.setattr(shards.Shard, "loaded", loaded)
    assert len(list(cams)) == 5
    assert len(loads) == 3


def test_items_keep_the_order_that_was_asked_for(cams: CamStore) -> None:
    wanted = ["image_4", "image_0", "image_1", "image_0"]
    found = list(cams.items(wanted))
    assert [name for name, _ in found] == wanted
    np.testing.assert_array_equal(found[1][1].scores, cams["image_0"].scores)


def test_a_store_and_its_items_outlive_pickling(cams: CamStore) -> None:
    expected = cams["image_3"].scores
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cams))["image_3"].scores, expected)  # noqa: S301


@pytest.mark.parametrize("processes", [1, 3])
def test_same_bytes_for_any_number_of_processes(cams: CamStore, tmp_path: Path, processes: int) -> None:
    writer = CamStore.create(tmp_path / "other", HEADER, KEYS, shard_size=2)
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        list(pool.map(write_cam_shard, [writer] * 3, [2, 0, 1]))
    assert digest(writer.finish()) == digest(cams.path)


def test_interrupted_writing_resumes_to_the_same_bytes(cams: CamStore, tmp_path: Path) -> None:
    def create(fingerprint: str) -> CamWriter:
        return CamStore.create(tmp_path / "other", HEADER, KEYS, shard_size=2, fingerprint=fingerprint)

    write_cam_shard(create("a"), 1)
    (tmp_path / "other.partial" / "writing_part_00002").mkdir()
    (tmp_path / "other.partial" / "zarr.json.0123abcd.partial").write_text("torn")
    resumed = create("a")
    assert [resumed.done(k) for k in range(3)] == [False, True, False]
    assert not (tmp_path / "other").exists()
    write_all(resumed, make_cam, [2, 0])
    assert digest(tmp_path / "other") == digest(cams.path)
    assert not resumed.scratch.exists()


@pytest.mark.parametrize("second", ["b", None])
def test_shards_of_other_parameters_are_not_resumed(tmp_path: Path, second: str | None) -> None:
    first = "a" if second else None
    write_cam_shard(CamStore.create(tmp_path / "cams", HEADER, KEYS, shard_size=2, fingerprint=first), 1)
    assert not CamStore.create(tmp_path / "cams", HEADER, KEYS, shard_size=2, fingerprint=second).done(1)


def test_shards_of_another_header_are_not_resumed(tmp_path: Path) -> None:
    write_cam_shard(CamStore.create(tmp_path / "cams", HEADER, KEYS, shard_size=2, fingerprint="a"), 1)
    other = replace(HEADER, catalogue="another")
    assert not CamStore.create(tmp_path / "cams", other, KEYS, shard_size=2, fingerprint="a").done(1)


def test_unfinished_stores_are_absent(tmp_path: Path) -> None:
    writer = CamStore.create(tmp_path / "cams", HEADER, KEYS, shard_size=2)
    write_cam_shard(writer, 0)
    with pytest.raises(DataError, match="not yet written: 1, 2"):
        writer.finish()
    with pytest.raises(DataError, match=r"found nothing.*Remedy"):
        CamStore(tmp_path / "cams")
    with pytest.raises(DataError, match="part_00001, part_00002 missing"):
        CamStore(writer.scratch)


def test_finishing_replaces_an_older_store(cams: CamStore) -> None:
    writer = CamStore.create(cams.path, HEADER, KEYS, "uint8", shard_size=5)
    assert len(CamStore(cams.path)) == 5
    write_all(writer, make_cam)
    assert CamStore(cams.path).shard_size == 5
    assert not (cams.path / "part_00001").exists()


@pytest.mark.parametrize(
    ("cam", "message"),
    [
        (replace(make_cam(0), classes=np.array([1, 2])), r"image 'image_0': expected maps of the classes \[1, 3\]"),
        (replace(make_cam(0), size=(30, 20)), r"size \(20, 30\), found \(30, 20\)"),
        (replace(make_cam(0), scores=np.zeros((1, 4, 4), np.float32)), r"expected scores \[2,h,w\]"),
        (replace(make_cam(0), scores=np.full((2, 4, 4), 1.1, np.float32)), r"scores in \[0,1\], found"),
        (replace(make_cam(0), scores=np.full((2, 4, 4), -0.01, np.float32)), r"scores in \[0,1\], found"),
        (replace(make_cam(0), scores=np.full((2, 4, 4), np.nan, np.float32)), "finite scores"),
    ],
)
def test_wrong_cams_are_refused(tmp_path: Path, cam: Cam, message: str) -> None:
    writer = CamStore.create(tmp_path / "cams", HEADER, KEYS, shard_size=1)
    with pytest.raises(DataError, match=message):
        writer.write(0, [cam])
    assert not writer.done(0)


def test_rounding_beyond_the_range_is_clipped(tmp_path: Path) -> None:
    header = Header(("a",), ((8, 8),), NAMES, "digest")
    writer = CamStore.create(tmp_path / "cams", header, [[2]])
    scores = np.array([[[-0.0005, 1.0005]]], np.float32)
    writer.write(0, [Cam(np.array([2]), scores, (8, 8))])
    assert CamStore(writer.finish())["a"].scores.ravel().tolist() == [0, 1]


@pytest.mark.parametrize("keys", [[(0,)], [(4,)], [(2, 1)], [(1, 1)], []])
def test_wrong_keys_are_refused(tmp_path: Path, keys: Any) -> None:
    with pytest.raises(DataError):
        CamStore.create(tmp_path / "cams", Header(("a",), ((8, 8),), NAMES, "digest"), keys)


def test_unknown_score_type(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'float16'"):
        CamStore.create(tmp_path / "cams", HEADER, KEYS, "float61")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((30, 20), np.uint8), r"uint8 \[20, 30\], found uint8 \[30, 20\]"),
        (np.zeros((20, 30), np.int64), "found int64"),
        (np.full((20, 30), 4, np.uint8), r"labels 0..3 or 255, found \[4\]"),
        (np.full((20, 30), 254, np.uint8), r"labels 0..3 or 255, found \[254\]"),
    ],
)
def test_wrong_masks_are_refused(tmp_path: Path, mask: Any, message: str) -> None:
    writer: MaskWriter = MaskStore.create(tmp_path / "masks", HEADER, shard_size=1)
    with pytest.raises(DataError, match=message):
        writer.write(0, [mask])


@pytest.mark.parametrize(
    "change",
    [
        {"tags": np.ones(2, np.bool_)},
        {"tags": np.ones(3, np.int64)},
        {"seeds": np.full((33, 21), 9, np.uint8)},
        {"segments": np.zeros((3, 3), np.int32)},
        {"boxes": np.zeros((2, 4), np.float32)},
        {"boxes": np.zeros((1, 4), np.float32), "box_classes": np.array([4])},
        {"boxes": np.full((1, 4), np.inf, np.float32), "box_classes": np.array([1])},
    ],
)
def test_wrong_supervision_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    writer = SupervisionStore.create(tmp_path / "supervision", HEADER, shard_size=1)
    with pytest.raises(DataError, match="image 'image_1': expected"):
        writer.write(1, [replace(make_supervision(1), **change)])


def test_too_few_results(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="part 0 holds 5 images, found 1"):
        MaskStore.create(tmp_path / "masks", HEADER).write(0, [make_mask(0)])


def test_images_without_any_class(tmp_path: Path) -> None:
    header = Header(("a", "b"), ((8, 8), (6, 9)), NAMES, "digest")
    writer = CamStore.create(tmp_path / "cams", header, [(), ()])
    writer.write(0, [Cam(np.zeros(0, np.int64), np.zeros((0, 2, 3), np.float32), size) for size in header.sizes])
    assert [cam.scores.shape for _, cam in CamStore(writer.finish())] == [(0, 2, 3), (0, 2, 3)]


@pytest.mark.parametrize(
    ("ids", "sizes", "message"),
    [
        ((), (), "at least one image"),
        (("a", "a"), ((1, 1), (1, 1)), "found twice: a"),
        (("a", "b"), ((1, 1),), "one size per image"),
    ],
)
def test_impossible_headers(ids: Any, sizes: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Header(ids, sizes, NAMES, "digest")


def test_a_store_of_another_kind_or_version(cams: CamStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a store of kind 'masks', found 'cams'"):
        MaskStore(cams.path)
    shards.write_group(cams.path, cams.attributes | {"version": 99})
    (cams.path / FILE).unlink()
    with pytest.raises(DataError, match="expected version 1 of kind 'cams', found version 99"):
        CamStore(cams.path)
    (tmp_path / "file").write_text("no store")
    with pytest.raises(DataError, match="no Zarr group"):
        CamStore(tmp_path / "file")


def _shard(store: CamStore) -> Path:
    return next(path for path in sorted(store.path.rglob("c/0/0/0")))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda store: _shard(store).unlink(), "the shard of part_00000 is missing"),
        (lambda store: _shard(store).write_bytes(_shard(store).read_bytes()[:40]), "is damaged"),
        (lambda store: (store.path / "part_00000" / "zarr.json").write_text("{"), "is damaged"),
    ],
)
def test_damaged_files_are_named_and_never_read_as_empty(cams: CamStore, harm: Any, message: str) -> None:
    harm(cams)
    with pytest.raises(DataError, match=message) as caught:
        list(CamStore(cams.path))
    assert str(cams.path) in str(caught.value)


def test_masks_of_nothing_but_void_have_no_shard(tmp_path: Path) -> None:
    header = Header(HEADER.ids[:1], SIZES[:1], NAMES, "")
    writer = MaskStore.create(tmp_path / "masks", header)
    writer.write(0, [np.full(SIZES[0], 255, np.uint8)])
    store = MaskStore(writer.finish())
    assert not list(store.path.rglob("c/0/0/0"))
    assert (store[HEADER.ids[0]] == 255).all()


def test_missing_and_other_images(cams: CamStore) -> None:
    cams.require(["image_1"], "evaluate@cam", catalogue="digest-of-the-catalogue")
    with pytest.raises(DataError, match="holds 5 images, but not 7 that evaluate@cam needs: x0, x1, x2, x3, x4 and 2"):
        cams.require([f"x{i}" for i in range(7)], "evaluate@cam")
    with pytest.raises(DataError, match="made from catalogue digest-of-th, evaluate@cam uses other"):
        cams.require(["image_1"], "evaluate@cam", catalogue="other")
    with pytest.raises(DataError, match="x9"):
        cams["x9"]
    assert "image_1" in cams
    assert "x9" not in cams


def test_padding_is_not_paid_for(tmp_path: Path) -> None:
    sizes = ((4, 4),) * 63 + ((400, 400),)
    writer = MaskStore.create(tmp_path / "masks", Header(tuple(map(str, range(64))), sizes, NAMES, "digest"))
    writer.write(0, [np.zeros(size, np.uint8) for size in sizes])
    assert sum(path.stat().st_size for path in writer.finish().rglob("*")) < 60_000


def test_voc_palette() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 5: (128, 0, 128), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    palette = voc_palette()
    assert palette.shape == (256, 3)
    assert len(np.unique(palette, axis=0)) == 256
    assert {label: tuple(palette[label].tolist()) for label in known} == known
    assert palette[255].tolist() == [224, 224, 192]


def test_png_export_keeps_labels(tmp_path: Path) -> None:
    write_all(MaskStore.create(tmp_path / "masks", HEADER), make_mask)
    paths = export_png(MaskStore(tmp_path / "masks"), tmp_path / "png")
    assert [path.name for path in paths] == [f"image_{i}.png" for i in range(5)]
    with Image.open(paths[3]) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), make_mask(3))
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), voc_palette()[make_mask(3)])
