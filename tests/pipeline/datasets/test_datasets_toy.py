from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigurationError, DataError
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth

SMALL = {"train": 4, "val": 2, "min_size": 48, "max_size": 64}


def make(folder: Path, workers: int = 1, **options: int) -> tuple[Catalogue, GroundTruth]:
    catalogue = make_catalogue("toy", folder / "c" / "toy", folder / "g" / "toy", SMALL | options, workers=workers)
    return catalogue, GroundTruth(catalogue, folder / "g" / "toy")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_seeds_write_equal_bytes(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "two")
    make(tmp_path / "other", seed=1)
    one = digests(tmp_path / "one")
    assert one == digests(tmp_path / "two")
    other = digests(tmp_path / "other")
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one if "images" in name)


def test_processes_do_not_change_the_bytes(tmp_path: Path) -> None:
    tiny = {"train": 33, "min_size": 32, "max_size": 32}
    make(tmp_path / "one", **tiny)
    make(tmp_path / "two", workers=2, **tiny)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_validation_images_do_not_depend_on_the_number_of_training_images(tmp_path: Path) -> None:
    few, _ = make(tmp_path / "few")
    more, _ = make(tmp_path / "more", train=6)
    assert [few.entries[id].sha256 for id in few.ids("val")] == [more.entries[id].sha256 for id in more.ids("val")]


def test_images_masks_and_instances_agree(tmp_path: Path) -> None:
    catalogue, truth = make(tmp_path)
    assert catalogue.num_classes == 6
    for id in catalogue.entries:
        height, width = catalogue.size(id)
        assert 48 <= height <= 64
        assert 48 <= width <= 64
        assert catalogue.image(id).shape == (height, width, 3)
        mask, instances = truth.mask(id), truth.instances(id)
        assert instances is not None
        np.testing.assert_array_equal(mask > 0, instances > 0)
        for number in np.unique(instances[instances > 0]):
            assert len(np.unique(mask[instances == number])) == 1


def test_a_loaded_catalogue_is_the_one_that_was_made(tmp_path: Path) -> None:
    catalogue, _ = make(tmp_path)
    loaded = Catalogue.load(tmp_path / "c" / "toy")
    assert loaded == catalogue
    assert (
        loaded.digest == catalogue.digest == hashlib.sha256((loaded.folder / "catalogue.json").read_bytes()).hexdigest()
    )
    assert str(tmp_path) not in catalogue.content()


def test_unknown_split_and_image_are_named(tmp_path: Path) -> None:
    catalogue, _ = make(tmp_path)
    with pytest.raises(ConfigurationError, match="Did you mean 'train'"):
        catalogue.ids("trian")
    with pytest.raises(DataError, match="no image 'nobody'"):
        catalogue.size("nobody")


def test_a_file_that_changed_afterwards_is_noticed(tmp_path: Path) -> None:
    catalogue, truth = make(tmp_path)
    id, other = catalogue.ids("val")
    (catalogue.folder / "images" / f"{id}.png").unlink()
    with pytest.raises(DataError, match="run prepare again"):
        catalogue.image(id)
    (truth.folder / "masks" / f"{other}.png").write_bytes(b"")
    with pytest.raises(DataError, match="0 bytes"):
        truth.mask(other)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "weak2mask-catalogue", "version": 99}'])
def test_a_catalogue_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "catalogue.json").write_text(content)
    with pytest.raises(DataError, match="Run prepare again"):
        Catalogue.load(tmp_path)


def test_no_catalogue_says_to_run_prepare(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Run prepare first"):
        Catalogue.load(tmp_path)


@pytest.mark.parametrize("options", [{"min_size": 8}, {"min_size": 90, "max_size": 80}, {"train": 0}])
def test_options_that_do_not_hold(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=r"toy.*: expected"):
        make(tmp_path, **options)
