"""Smooth noise and the textures made of it, for the toy data set. Values lie in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.color import hsv2rgb

Field: TypeAlias = npt.NDArray[np.float64]
Region: TypeAlias = npt.NDArray[np.bool_]
Texture: TypeAlias = Callable[[Field, Field, Field], Field]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 1) -> Field:
    """Value noise: random grids of spacing ``cell`` px, each octave half as coarse and half as strong."""
    total, weight = np.zeros(shape), 0.0
    for octave in range(octaves):
        down, across = (_spline(n, max(cell / 2**octave, 1.0)) for n in shape)
        total += (down @ rng.random((down.shape[1], across.shape[1])) @ across.T) / 2**octave
        weight += 1 / 2**octave
    return stretch(total / weight)


def _spline(length: int, spacing: float) -> Field:
    """Weights [length, knots] of uniform cubic B-splines; each row sums to one."""
    position = np.arange(length) / spacing + 1.0
    distance = np.abs(position[:, None] - np.arange(int(position[-1]) + 3))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


def stretch(field: Field) -> Field:
    """Scale to cover [0, 1]."""
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - low) / max(high - low, 1e-9))


def paint(hue: float, saturation: Field | float, value: Field) -> Field:
    """RGB [H,W,3] of one hue."""
    layers = np.broadcast_arrays(np.float64(hue % 1.0), saturation, np.clip(value, 0, 1))
    return np.asarray(hsv2rgb(np.stack(layers, axis=-1)))


def stripes(u: Field, v: Field, noise: Field) -> Field:
    """Bands across the body's long axis ``u``, wavy by ``noise``."""
    return 0.5 + 0.5 * np.sin(13.0 * u + 5.0 * noise)


def bands(u: Field, v: Field, noise: Field) -> Field:
    """Bands along the body's long axis."""
    return 0.5 + 0.5 * np.sin(13.0 * v + 5.0 * noise)


def spots(u: Field, v: Field, noise: Field) -> Field:
    """Round spots on a staggered grid."""
    row = np.floor(4.5 * v)
    du, dv = (4.5 * u + 0.5 * row) % 1.0 - 0.5, (4.5 * v) % 1.0 - 0.5
    return np.clip(3.2 * (0.42 + 0.12 * noise - np.hypot(du, dv)), 0, 1)


def scales(u: Field, v: Field, noise: Field) -> Field:
    """Overlapping scales that point to the tail."""
    row = np.floor(5.0 * u)
    dv = (5.0 * v + 0.5 * row) % 1.0 - 0.5
    return np.clip((5.0 * u) % 1.0 + 0.9 * dv**2 + 0.2 * (noise - 0.5), 0, 1)


def rings(u: Field, v: Field, noise: Field) -> Field:
    """Concentric rings."""
    return (np.hypot(u, v) * 2.5 % 1.0 > 0.5).astype(float)


def checker(u: Field, v: Field, noise: Field) -> Field:
    """A chessboard."""
    return ((np.floor(2.2 * u) + np.floor(2.2 * v)) % 2).astype(float)


def cross(u: Field, v: Field, noise: Field) -> Field:
    """An upright cross."""
    return (np.minimum(np.abs(u), np.abs(v)) < 0.27).astype(float)


def sectors(u: Field, v: Field, noise: Field) -> Field:
    """Eight sectors around the middle."""
    return (np.sin(4.0 * np.arctan2(v, u)) > 0).astype(float)


def bars(u: Field, v: Field, noise: Field) -> Field:
    """Parallel bars."""
    return (np.sin(9.0 * v) > 0).astype(float)


def eye(u: Field, v: Field, noise: Field) -> Field:
    """A big dot in the middle."""
    return (np.hypot(u, v) < 0.55).astype(float)
