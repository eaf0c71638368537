"""Training augmentation: one image and what is known about it move together.

Pillow resamples only the pixels of the crop, so the cost does not grow with the scale. ``benchmarks/loader.py`` has
torchvision's v2 transforms beside it, on the same random draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageEnhance
from scipy.ndimage import correlate1d

from models.errors import ConfigurationError
from models.structures import IGNORE, Image, Supervision

Floats = npt.NDArray[np.float32]
Label = TypeVar("Label", np.uint8, np.int32)
NO_SEGMENT = -1
"""Region id of the padding."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where a square crop lies in the resized image.

    Attributes:
        crop: side of the square in pixels.
        source: (H, W) of the image; resized: (H, W) after resizing.
        corner: (top, left) of the seen part in the resized image.
        seen: (height, width) of the part of the resized image in the crop.
        offset: (top, left) of the seen part in the crop; what lies around it is padding.
        flip: mirror the crop from left to right, last.
    """

    crop: int
    source: tuple[int, int]
    resized: tuple[int, int]
    corner: tuple[int, int]
    seen: tuple[int, int]
    offset: tuple[int, int]
    flip: bool


def draw_window(
    source: tuple[int, int], resized: tuple[int, int], crop: int, flip: bool, rng: np.random.Generator
) -> Window:
    """A uniformly random crop, of the image where it is larger and around it where it is smaller."""
    slack = [length - crop for length in resized]
    drawn = [int(rng.integers(abs(room) + 1)) for room in slack]
    corner = [at if room > 0 else 0 for at, room in zip(drawn, slack, strict=True)]
    offset = [at if room < 0 else 0 for at, room in zip(drawn, slack, strict=True)]
    seen = [min(length, crop) for length in resized]
    return Window(crop, source, resized, (corner[0], corner[1]), (seen[0], seen[1]), (offset[0], offset[1]), flip)


def crop_image(image: Image, window: Window) -> Image:
    """The seen part, resampled with an antialiased bicubic filter: uint8 [h,w,3], not flipped, without padding."""
    scale = [a / b for a, b in zip(window.source, window.resized, strict=True)]
    top, left = window.corner[0] * scale[0], window.corner[1] * scale[1]
    bottom = min(top + window.seen[0] * scale[0], window.source[0])
    right = min(left + window.seen[1] * scale[1], window.source[1])
    part = PILImage.fromarray(image).resize(
        (window.seen[1], window.seen[0]), PILImage.Resampling.BICUBIC, (left, top, right, bottom)
    )
    return np.asarray(part)


def place_image(part: Image, window: Window, fill: tuple[float, float, float]) -> Floats:
    """The crop as the network reads it: float32 [3,crop,crop] in [0,1], padded with ``fill``, flipped."""
    canvas = np.empty((3, window.crop, window.crop), np.float32)
    canvas[:] = np.asarray(fill, np.float32)[:, None, None]
    (top, left), (height, width) = window.offset, window.seen
    inside = canvas[:, top : top + height, left : left + width]
    np.multiply(part.transpose(2, 0, 1), np.float32(1 / 255), out=inside, casting="unsafe")
    return np.ascontiguousarray(canvas[:, :, ::-1]) if window.flip else canvas


def crop_supervision(supervision: Supervision, window: Window) -> Supervision:
    """Seeds (padding 255), segments (padding -1) and boxes of the crop. Tags stay those of the image.

    Boxes are cut at the crop; those that lie outside are dropped.
    """
    segments = supervision.segments
    moved = replace(
        supervision,
        seeds=_crop_labels(supervision.seeds, window, IGNORE),
        segments=None if segments is None else _crop_labels(segments, window, NO_SEGMENT),
    )
    if supervision.boxes is None or supervision.box_classes is None:
        return moved
    boxes = _crop_boxes(supervision.boxes, window)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return replace(moved, boxes=boxes[kept], box_classes=supervision.box_classes[kept])


def require_classes(pairs: Sequence[tuple[int, int]], count: int) -> None:
    """Refuse pairs of classes that are not among ``count`` ones.

    Raises:
        ConfigurationError: names them.
    """
    if any(number > count for pair in pairs for number in pair):
        raise ConfigurationError(
            f"loader.mirrored_classes: expected classes 1..{count}, found {[list(pair) for pair in pairs]}."
        )


def swap_classes(supervision: Supervision, pairs: Sequence[tuple[int, int]]) -> Supervision:
    """Classes of each pair change places, in tags, seeds and boxes: what is left in a mirrored image was right."""
    count = len(supervision.tags)
    require_classes(pairs, count)
    names = np.arange(256, dtype=np.uint8)
    for one, other in pairs:
        names[[one, other]] = other, one
    order = names[1 : count + 1].astype(np.intp) - 1
    classes = supervision.box_classes
    return replace(
        supervision,
        tags=supervision.tags[order],
        seeds=names[supervision.seeds],
        box_classes=None if classes is None else names[classes].astype(np.int64),
    )


def _crop_labels(labels: npt.NDArray[Label], window: Window, fill: int) -> npt.NDArray[Label]:
    """Nearest neighbour at pixel centres."""
    canvas = np.full((window.crop, window.crop), fill, labels.dtype)
    rows, columns = (_nearest(window, axis) for axis in (0, 1))
    (top, left), (height, width) = window.offset, window.seen
    canvas[top : top + height, left : left + width] = labels[rows[:, None], columns]
    return np.ascontiguousarray(canvas[:, ::-1]) if window.flip else canvas


def _nearest(window: Window, axis: int) -> npt.NDArray[np.intp]:
    centres = window.corner[axis] + np.arange(window.seen[axis]) + 0.5
    return (centres * window.source[axis] / window.resized[axis]).astype(np.intp)


def _crop_boxes(boxes: Floats, window: Window) -> Floats:
    scale = [b / a for a, b in zip(window.source, window.resized, strict=True)]
    shift = [o - c for o, c in zip(window.offset, window.corner, strict=True)]
    x = boxes[:, [0, 2]] * scale[1] + shift[1]
    y = boxes[:, [1, 3]] * scale[0] + shift[0]
    x = x.clip(window.offset[1], window.offset[1] + window.seen[1])
    y = y.clip(window.offset[0], window.offset[0] + window.seen[0])
    if window.flip:
        x = window.crop - x[:, ::-1]
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1).astype(np.float32)


def jitter_colour(
    image: Image, brightness: float, contrast: float, saturation: float, hue: float, rng: np.random.Generator
) -> Image:
    """Colour jitter in random order, as torchvision's: factors in [1 - s, 1 + s], hue turned by [-s, s], uniform."""
    picture = PILImage.fromarray(image)
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    drawn = {name: rng.uniform(-strength, strength) for name, strength in strengths.items() if strength > 0}
    enhancers = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    for name in rng.permutation(list(drawn)):
        if name == "hue":
            picture = _turn_hue(picture, drawn[name])
        else:
            picture = enhancers[name](picture).enhance(max(0.0, 1.0 + drawn[name]))
    return np.asarray(picture)


def shift_hsv(image: Image, most: int, rng: np.random.Generator) -> Image:
    """Hue, saturation and value moved by whole steps in [-most, most], uniform: hue of 180 steps, the others of 255.

    Source: docs/methods/segmenter.md, section 4 (RandomHSV of YudeWang/semantic-segmentation-codebase).
    """
    hue, saturation, value = (int(step) for step in rng.integers(-most, most + 1, 3))
    bands = PILImage.fromarray(image).convert("HSV").split()
    moved = [
        bands[0].point([(level + round(hue * 256 / 180)) % 256 for level in range(256)]),
        *(
            band.point([min(max(level + step, 0), 255) for level in range(256)])
            for band, step in zip(bands[1:], (saturation, value), strict=True)
        ),
    ]
    return np.asarray(PILImage.merge("HSV", moved).convert("RGB"))


def without_colour(image: Image) -> Image:
    """The luma of an image in all three channels."""
    return np.asarray(PILImage.fromarray(image).convert("L").convert("RGB"))


def blur(image: Image, sigma: float) -> Image:
    """A Gaussian of 5x5 pixels (SPML's classifier stage: sigma in [0.1,5])."""
    weights = np.exp(-np.square(np.arange(-2, 3) / sigma) / 2)
    weights /= weights.sum()
    smooth = image.astype(np.float32)
    for axis in (0, 1):
        smooth = correlate1d(smooth, weights, axis, mode="nearest")
    return np.rint(smooth).astype(np.uint8)


def _turn_hue(picture: PILImage.Image, turns: float) -> PILImage.Image:
    hue, saturation, value = picture.convert("HSV").split()
    turned = hue.point([(level + round(turns * 255)) % 256 for level in range(256)])
    return PILImage.merge("HSV", (turned, saturation, value)).convert("RGB")
