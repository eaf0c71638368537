"""Scenes of the toy data set: a textured background, clutter that is of no class, and animals that may overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.draw import ellipse, line, polygon

from models.structures import Image, Mask
from pipeline.datasets import toy_textures as textures
from pipeline.datasets.toy_animals import ANIMALS, Pose, body_coordinates, coat, face, silhouette
from pipeline.datasets.toy_textures import Field, Region

# hue, saturation, value, cell of the coarse noise in px, stretch of the noise along the columns
HABITATS = {
    "pond": (0.52, 0.42, 0.55, 26.0, 3.0),
    "meadow": (0.27, 0.45, 0.50, 9.0, 0.6),
    "sand": (0.10, 0.32, 0.66, 14.0, 1.0),
    "rock": (0.62, 0.08, 0.52, 20.0, 1.0),
}
COMPANION_RATE = 0.9
HABITAT_RATE = 0.9
LARGEST_OVERLAP = 0.25
SMALLEST_PART = 0.6
MARGIN = 12
"""Pixels around an animal that its shadow reaches."""


@dataclass(frozen=True)
class Scene:
    """image uint8 [H,W,3]; mask uint8 [H,W] of classes; instances uint8 [H,W], 0 none."""

    image: Image
    mask: Mask
    instances: npt.NDArray[np.uint8]


def make_scene(rng: np.random.Generator, min_size: int, max_size: int) -> Scene:
    """Draw one scene; everything random comes from ``rng``."""
    shape = (int(rng.integers(min_size, max_size + 1)), int(rng.integers(min_size, max_size + 1)))
    classes = _choose_classes(rng)
    habitat = _choose_habitat(rng, classes)
    canvas = _background(rng, shape, habitat)
    _clutter(rng, canvas, int(rng.integers(5, 13)))
    mask, instances = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    wanted = [c for c in classes for _ in range(_how_many(rng, len(classes)))]
    for c in rng.permutation(wanted):
        _place(rng, int(c), canvas, mask, instances, size=0.40 if len(wanted) == 1 else 0.40 / len(wanted) ** 0.35)
    grain = rng.normal(0, 0.018, (*shape, 1)) + 0.06 * (textures.smooth_noise(rng, shape, 90)[..., None] - 0.5)
    image = np.clip(ndimage.gaussian_filter(canvas, (0.5, 0.5, 0)) + grain, 0, 1)
    return Scene(np.round(image * 255).astype(np.uint8), mask, instances)


def _choose_classes(rng: np.random.Generator) -> list[int]:
    count = int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))
    chosen = list(rng.choice(np.arange(1, len(ANIMALS) + 1), size=count, replace=False))
    for c in list(chosen):
        companion = ANIMALS[c - 1].companion
        if companion is not None and companion not in chosen and rng.random() < COMPANION_RATE:
            chosen.append(companion)
    return sorted(int(c) for c in chosen)


def _choose_habitat(rng: np.random.Generator, classes: list[int]) -> str:
    for c in classes:
        home = ANIMALS[c - 1].habitat
        if home is not None and rng.random() < HABITAT_RATE:
            return home
    return str(rng.choice(sorted(HABITATS), p=[0.31, 0.08, 0.31, 0.30]))


def _how_many(rng: np.random.Generator, classes: int) -> int:
    return int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])) if classes == 1 else int(rng.choice([1, 2], p=[0.8, 0.2]))


def _background(rng: np.random.Generator, shape: tuple[int, int], habitat: str) -> Field:
    hue, saturation, value, cell, aspect = HABITATS[habitat]
    long = (shape[0], max(int(shape[1] / aspect), 8))
    coarse = ndimage.zoom(textures.smooth_noise(rng, long, cell, octaves=4), (1, shape[1] / long[1]), order=1)
    fine = rng.random(shape)
    fade = np.linspace(-0.06, 0.06, shape[0])[:, None] * rng.choice([-1, 1])
    light = value + 0.55 * (textures.stretch(coarse) - 0.5) + 0.10 * (fine - 0.5) + fade
    return textures.paint(hue + rng.uniform(-0.025, 0.025), saturation * (0.7 + 0.6 * textures.stretch(coarse)), light)


def _clutter(rng: np.random.Generator, canvas: Field, count: int) -> None:
    """Pebbles, leaves and twigs: shapes and colours near those of the animals, of no class."""
    for _ in range(count):
        row, column = rng.uniform(0, canvas.shape[0]), rng.uniform(0, canvas.shape[1])
        draw = (_pebble, _leaf, _twig)[int(rng.integers(3))]
        draw(rng, canvas, row, column)


def _pebble(rng: np.random.Generator, canvas: Field, row: float, column: float) -> None:
    a, b = rng.uniform(3, 13, size=2)
    rows, columns = ellipse(row, column, a, b, shape=canvas.shape[:2], rotation=rng.uniform(0, np.pi))
    shade = 1.0 - 0.35 * ((rows - row + a) / (2 * a))
    tint = textures.paint(rng.uniform(0, 1), rng.uniform(0, 0.3), np.array(rng.uniform(0.45, 0.8)))
    canvas[rows, columns] = tint * shade[:, None] * (0.9 + 0.2 * rng.random((len(rows), 1)))


def _leaf(rng: np.random.Generator, canvas: Field, row: float, column: float) -> None:
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(8, 24)
    t = np.linspace(0, np.pi, 14)
    along, across = -np.cos(t) * length, np.sin(t) ** 1.5 * length * 0.32
    along, across = np.concatenate([along, along[::-1]]), np.concatenate([across, -across[::-1]])
    rows = row + np.sin(angle) * along + np.cos(angle) * across
    columns = column + np.cos(angle) * along - np.sin(angle) * across
    r, c = polygon(rows, columns, shape=canvas.shape[:2])
    tint = textures.paint(rng.choice([0.05, 0.12, 0.3, 0.8]), rng.uniform(0.35, 0.6), np.array(rng.uniform(0.35, 0.7)))
    along = np.cos(angle) * (c - column) + np.sin(angle) * (r - row)
    canvas[r, c] = tint * (0.85 + 0.3 * np.sin(0.9 * along)[:, None] ** 2)


def _twig(rng: np.random.Generator, canvas: Field, row: float, column: float) -> None:
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(15, 50)
    end = (row + np.sin(angle) * length, column + np.cos(angle) * length)
    r, c = line(int(row), int(column), int(end[0]), int(end[1]))
    for offset in range(int(rng.integers(1, 4))):
        inside = (r + offset >= 0) & (r + offset < canvas.shape[0]) & (c >= 0) & (c < canvas.shape[1])
        canvas[r[inside] + offset, c[inside]] = np.array([0.30, 0.20, 0.12]) * (1 + 0.35 * offset)


def _place(
    rng: np.random.Generator, c: int, canvas: Field, mask: Mask, instances: npt.NDArray[np.uint8], size: float
) -> None:
    """Draw one animal over what is there; look for a place where it hides little, or leave it after some trials."""
    animal, shape = ANIMALS[c - 1], (mask.shape[0], mask.shape[1])
    for trial in range(30):
        pose = _pose(rng, shape, size * 0.97**trial)
        whole, head = silhouette(animal, shape, pose)
        if _fits(whole, head, pose, instances):
            break
    else:
        return
    _draw(rng, c, canvas, pose, whole, head)
    mask[whole] = c
    instances[whole] = instances.max() + 1


def _draw(rng: np.random.Generator, c: int, canvas: Field, pose: Pose, whole: Region, head: Region) -> None:
    """Paint coat and face over the canvas, with soft edges and a shadow; only around the animal."""
    rows, columns = (np.flatnonzero(whole.any(axis=axis)) for axis in (1, 0))
    box = tuple(
        slice(max(int(at[0]) - MARGIN, 0), min(int(at[-1]) + MARGIN + 1, n))
        for at, n in zip((rows, columns), whole.shape, strict=True)
    )
    whole, head, patch = whole[box], head[box], canvas[box]
    grid = np.mgrid[box]
    u, v = body_coordinates(grid[0], grid[1], pose)
    noise = textures.smooth_noise(rng, (whole.shape[0], whole.shape[1]), pose.half_length / 2.5, octaves=2)
    animal = ANIMALS[c - 1]
    colours = np.where(head[..., None], face(animal, u, v, noise), coat(animal, u, v, noise))
    shadow = ndimage.gaussian_filter(ndimage.shift(whole.astype(float), (3, 2), order=0), 2.5)[..., None]
    alpha = ndimage.gaussian_filter(whole.astype(float), 0.6)[..., None]
    patch *= 1 - 0.30 * shadow
    patch += alpha * (colours - patch)


def _pose(rng: np.random.Generator, shape: tuple[int, int], size: float) -> Pose:
    half = min(shape) * size * rng.uniform(0.55, 1.0)
    centre = [rng.uniform(min(0.7 * half, n / 2), max(n - 0.7 * half, n / 2)) for n in shape]
    return Pose(centre[0], centre[1], half, rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.3), rng.uniform(-0.25, 0.25))


def _fits(whole: Region, head: Region, pose: Pose, instances: npt.NDArray[np.uint8]) -> bool:
    """Enough of the animal is in the picture, its head among it, and no other animal loses much."""
    if whole.sum() < SMALLEST_PART * 1.1 * pose.half_length**2 or head.sum() < 0.12 * pose.half_length**2:
        return False
    for number in range(1, int(instances.max()) + 1):
        other = instances == number
        if (whole & other).sum() > LARGEST_OVERLAP * min(whole.sum(), other.sum()):
            return False
    return True
