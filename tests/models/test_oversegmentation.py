from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from models.errors import ConfigurationError
from models.ops.oversegmentation import RegionOptions, oversegment
from models.ops.region_merging import merge_regions


def picture(noise: int = 8, size: tuple[int, int] = (60, 80)) -> np.ndarray[Any, Any]:
    """A red disc and a green stripe on grey, with noise."""
    rows, columns = np.indices(size)
    image = np.full((*size, 3), 128)
    image[(rows - 30) ** 2 + (columns - 40) ** 2 < 200] = 200, 40, 40
    image[:, 65:70] = 30, 160, 60
    wobble = np.random.default_rng(0).integers(-noise, noise + 1, image.shape)
    return np.clip(image + wobble, 0, 255).astype(np.uint8)


def numbered(regions: np.ndarray[Any, Any]) -> bool:
    return np.array_equal(np.unique(regions), np.arange(regions.max() + 1))


@pytest.mark.parametrize("method", ["rag", "felzenszwalb", "slic"])
@pytest.mark.parametrize("count", [1, 4, 12])
def test_no_more_regions_than_asked_for(method: Any, count: int) -> None:
    regions = oversegment(picture(40), RegionOptions(method, count=count, markers=100))
    assert (regions.dtype, regions.shape) == (np.int32, (60, 80))
    assert numbered(regions)
    assert regions.max() < count


def test_regions_are_the_objects() -> None:
    regions = oversegment(picture(), RegionOptions("rag", count=20, markers=150))
    rows, columns = np.indices(regions.shape)
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 140
    outside = (rows - 30) ** 2 + (columns - 40) ** 2 > 270
    assert not np.intersect1d(regions[disc], regions[outside]).size


def test_weak_boundaries_go_in_any_case() -> None:
    many, few = (
        oversegment(picture(), RegionOptions("rag", count=60, markers=150, weakest=w)).max() + 1 for w in (0.0, 0.6)
    )
    assert few < many <= 60


def test_a_plain_image_is_one_region_and_none_always_is() -> None:
    flat = np.full((20, 30, 3), 90, np.uint8)
    assert oversegment(flat, RegionOptions()).max() == 0
    assert not oversegment(picture(), RegionOptions("none")).any()
    assert oversegment(np.zeros((1, 1, 3), np.uint8), RegionOptions()).shape == (1, 1)


def test_the_weakest_mean_boundary_goes_first() -> None:
    labels = np.array([[0, 0, 1, 1, 2, 2]] * 2, np.int32)
    edges = np.zeros((2, 6))
    edges[:, 2], edges[:, 4] = (0.9, 0.1), (0.8, 0.6)  # means 0.5 and 0.7
    assert merge_regions(labels, edges, 2).tolist() == [[0, 0, 0, 0, 1, 1]] * 2
    assert merge_regions(labels, edges, 1).max() == 0
    assert merge_regions(labels, edges, 9, weakest=0.6).tolist() == [[0, 0, 0, 0, 1, 1]] * 2
    assert merge_regions(labels, edges, 9).tolist() == labels.tolist()


def test_a_merged_boundary_has_the_mean_of_its_pixels() -> None:
    # 0 and 1 lie above 2; after 0 and 1 are one, their boundary with 2 is (4 x 0.2 + 2 x 0.9) / 6
    labels = np.array([[0, 0, 0, 0, 1, 1], [2, 2, 2, 2, 2, 2], [3, 3, 3, 3, 3, 3]], np.int32)
    edges = np.zeros((3, 6))
    edges[0, :4], edges[0, 4:], edges[2] = 0.2, 0.9, 0.4
    # 0-1 has 0.9 at its one pair: 0-2 (0.2) goes first, then 2-3 (0.4)
    assert merge_regions(labels, edges, 2)[:, [0, 5]].tolist() == [[0, 1], [0, 0], [0, 0]]


def test_noise_leaves_no_specks_beside_one_large_region() -> None:
    sizes = {
        area: np.bincount(oversegment(picture(60), RegionOptions(count=8, markers=150, area=area, sigma=0.8)).ravel())
        for area in (0.0, 0.25)
    }
    assert sizes[0.0].max() > sizes[0.25].max()
    assert sizes[0.25].min() > sizes[0.0].min()


def test_the_same_image_has_the_same_regions() -> None:
    first, second = (oversegment(picture(30), RegionOptions(count=10)) for _ in range(2))
    assert np.array_equal(first, second)


def test_options_that_make_no_regions_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'felzenszwalb'"):
        RegionOptions("felzenswalb")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"regions\.count: expected a whole number above 0, found 0"):
        RegionOptions(count=0)
    with pytest.raises(ConfigurationError, match="`folder` with method 'files'"):
        RegionOptions("files")
    with pytest.raises(ConfigurationError, match="with no other"):
        RegionOptions(folder="maps")


def test_options_are_read_without_torch_and_skimage() -> None:
    code = "import sys, models.ops.oversegmentation; sys.exit(any(m in sys.modules for m in ('torch', 'skimage')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
