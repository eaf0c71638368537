"""Whether the numbers of a file are pixels: shares, percents, width and height, and larger originals show in many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Yes = npt.NDArray[np.bool_]

SHARE = 1.1
PERCENT = 100.5
ENOUGH = 6
"""Boxes or points whose small numbers are no chance."""
LARGE = 200
"""Pixels: of images this large, not all objects lie in the first hundred pixels."""


def unit_problem(source: str, numbers: Floats, sizes: Floats) -> str | None:
    """Why none of the numbers [N,2] or [N,4] can be pixels of images of these (H, W) [N,2]; else None."""
    low, high = numbers.min(), numbers.max()
    what = "boxes" if numbers.shape[1] == 4 else "points"
    alone = " (no box is wider than a pixel)" if what == "boxes" else ""
    whole = bool((numbers == np.floor(numbers)).all())
    if low > 1 - SHARE and high <= SHARE and (what == "boxes" or not whole):
        return (
            f"{source}: the numbers of all {len(numbers)} {what} lie within {low:g}..{high:g}{alone}, like shares of "
            "the image. Expected pixels. Remedy: multiply x by the image's width and y by its height."
        )
    if low >= 0 and high <= PERCENT and len(numbers) >= ENOUGH and np.median(sizes.min(axis=1)) >= LARGE:
        return (
            f"{source}: the numbers of all {len(numbers)} {what} lie within {low:g}..{high:g}, like percents of the "
            f"image, whose width and height are {int(np.median(sizes[:, 1]))} x {int(np.median(sizes[:, 0]))}. "
            "Expected pixels. Remedy: multiply x by width / 100 and y by height / 100."
        )
    return None


def unit_doubt(source: str, numbers: Floats, sizes: Floats) -> str | None:
    """Why the numbers may be percents, where that is not sure."""
    low, high = numbers.min(), numbers.max()
    near = low >= 0 and 50 < high <= PERCENT
    if near and len(numbers) >= 4 and np.median(sizes.min(axis=1)) >= 1.25 * PERCENT:
        size = f"{int(np.median(sizes[:, 1]))} x {int(np.median(sizes[:, 0]))}"
        return (
            f"{source}: all numbers lie within {low:g}..{high:g}, in images of about {size}. If they are percents of "
            "the image, multiply x by width / 100 and y by height / 100."
        )
    return None


def fits_as(source: str, numbers: Floats, limits: Floats, inverted: Yes, outside: Yes) -> Iterator[str]:
    """What explains that many boxes or points are wrong, as a problem that comes before theirs.

    Args:
        source: the file, for messages.
        numbers: [N,4] or [N,2].
        limits: width and height for each of the numbers.
        inverted: boxes whose second corner is not behind the first.
        outside: boxes or points that are not in their image.
    """
    count = len(numbers)
    if inverted.sum() > max(1, 0.2 * count) and _inside(_from_sides(numbers), limits).all():
        yield (
            f"{source}: {inverted.sum()} of {count} boxes have x2 <= x1 or y2 <= y1, and all fit as x, y, width, "
            "height. Remedy: write x2 = x + width and y2 = y + height."
        )
    turned = numbers[:, [2, 3, 0, 1]] if numbers.shape[1] == 4 else None
    if turned is not None and inverted.sum() > max(1, 0.2 * count) and _ordered(turned[inverted]).all():
        yield (
            f"{source}: {inverted.sum()} of {count} boxes have their corners in the other order. Remedy: write the "
            "smaller x and y first."
        )
    swapped = numbers[:, [1, 0, 3, 2][: numbers.shape[1]]]
    if outside.sum() > 1 and _inside(swapped, limits).all():
        yield (
            f"{source}: {outside.sum()} of {count} lie outside of their image, and all fit with x and y exchanged. "
            "Remedy: exchange them; of photos with an EXIF orientation see `upright` in the data set's options."
        )
        return
    if outside.sum() <= max(1, 0.2 * count):
        return
    ratio = float((numbers / limits).max())
    if numbers.min() >= 0 and numbers.max() <= PERCENT:
        yield (
            f"{source}: {outside.sum()} of {count} lie outside of their image, and all numbers lie within 0..100. If "
            "they are percents of the image, multiply x by width / 100 and y by height / 100."
        )
    elif numbers.min() >= 0 and 500 < numbers.max() <= 1000.5:
        yield (
            f"{source}: {outside.sum()} of {count} lie outside of their image, and all numbers lie within 0..1000. "
            "They may be of larger originals, or thousandths of the image (x by width / 1000, y by height / 1000)."
        )
    elif ratio > 1:
        yield (
            f"{source}: {outside.sum()} of {count} lie outside of their image, up to {ratio:.2g} times its side. They "
            "are of larger originals, it seems. Remedy: scale them as the images were scaled."
        )


def _from_sides(numbers: Floats) -> Floats:
    return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)


def _ordered(numbers: Floats) -> Yes:
    return np.asarray((numbers[:, :2] < numbers[:, 2:]).all(axis=1))


def _inside(numbers: Floats, limits: Floats) -> Yes:
    return np.asarray((numbers >= 0).all(axis=1) & (numbers <= limits + 1).all(axis=1))
