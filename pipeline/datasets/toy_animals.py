"""The animals of the toy data set: silhouettes and coats, in body coordinates.

Body coordinates: ``u`` runs from the tail (-1) to the head (+1), ``v`` across. Two animals of a pair share the
texture of their bodies but for a little hue and shape; what tells them apart at a glance is the small head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.draw import polygon2mask

from pipeline.datasets import toy_textures as textures
from pipeline.datasets.toy_textures import Field, Region, Texture


@dataclass(frozen=True)
class Animal:
    """How a class looks and where it lives.

    Attributes:
        coat, hue, saturation: the large body.
        marking, head_hues, head_size: the small head: two colours in a pattern (white on black when
            the hues are equal), radius in body half-lengths.
        aspect: width over length of the body.
        lobes: (order, strength) waves on the outline.
        limbs: outline of one limb or fin; mirrored at ``v -> -v`` and repeated at ``limb_at``.
        habitat: name of the background where nearly all of them live, or None.
        companion: class number that is nearly always there too, or None.
    """

    name: str
    coat: Texture
    hue: float
    saturation: float
    marking: Texture
    head_hues: tuple[float, float]
    head_size: float
    aspect: float
    lobes: tuple[int, float]
    limb: tuple[tuple[float, float], ...]
    limb_at: tuple[float, ...]
    habitat: str | None = None
    companion: int | None = None


FIN = ((-0.16, 0.0), (0.20, 0.0), (-0.30, 0.38))
LEG = ((-0.07, 0.0), (0.07, 0.0), (0.05, 0.30), (0.20, 0.42), (-0.06, 0.40))
WING = ((-0.22, 0.0), (0.24, 0.0), (0.02, 0.55), (-0.42, 0.62), (-0.50, 0.35))

# fmt: off
ANIMALS = (
    Animal("tigerfish", textures.stripes, 0.07, 0.62, textures.rings, (0.15, 0.62), 0.27,
           aspect=0.42, lobes=(2, 0.05), limb=FIN, limb_at=(-0.8, 0.1)),
    Animal("wasp", textures.bands, 0.11, 0.62, textures.checker, (0.0, 0.0), 0.25,
           aspect=0.50, lobes=(3, 0.05), limb=WING, limb_at=(0.15,), companion=1),
    Animal("ladybug", textures.spots, 0.02, 0.55, textures.cross, (0.50, 0.92), 0.25,
           aspect=0.74, lobes=(2, 0.03), limb=LEG, limb_at=(-0.4, 0.0, 0.4)),
    Animal("toad", textures.spots, 0.96, 0.45, textures.eye, (0.33, 0.80), 0.28,
           aspect=0.66, lobes=(5, 0.07), limb=LEG, limb_at=(-0.6, 0.5), habitat="pond"),
    Animal("lizard", textures.scales, 0.76, 0.38, textures.sectors, (0.08, 0.55), 0.24,
           aspect=0.36, lobes=(4, 0.06), limb=LEG, limb_at=(-0.55, 0.45)),
    Animal("moth", textures.scales, 0.83, 0.40, textures.bars, (0.58, 0.13), 0.23,
           aspect=0.40, lobes=(2, 0.08), limb=WING, limb_at=(-0.25, 0.35)),
)
# fmt: on


@dataclass(frozen=True)
class Pose:
    """Where an animal is: centre in pixels, half-length in pixels, angle in radians, width factor, bend."""

    row: float
    column: float
    half_length: float
    angle: float
    width: float
    bend: float


def body_coordinates(rows: Field, columns: Field, pose: Pose) -> tuple[Field, Field]:
    """(u, v) of pixels."""
    x, y = (columns - pose.column) / pose.half_length, (rows - pose.row) / pose.half_length
    u = np.cos(pose.angle) * x + np.sin(pose.angle) * y
    v = (np.cos(pose.angle) * y - np.sin(pose.angle) * x) / pose.width
    return u, v - pose.bend * u**2


def silhouette(animal: Animal, shape: tuple[int, int], pose: Pose) -> tuple[Region, Region]:
    """Masks of the whole animal and of its head, bool [H,W]."""
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    order, strength = animal.lobes
    radius = 1 + strength * np.cos(order * t)
    parts = [np.stack([radius * np.cos(t), animal.aspect * radius * np.sin(t)], axis=1)]
    for at in animal.limb_at:
        root = animal.aspect * 0.85 * np.sqrt(max(1 - at**2, 0.0))
        limb = np.add(animal.limb, (at, root))
        parts += [limb, limb * (1, -1)]
    head = np.stack([head_centre(animal) + animal.head_size * np.cos(t), animal.head_size * np.sin(t)], axis=1)
    head_mask = polygon2mask(shape, _to_pixels(head, pose))
    whole = head_mask.copy()
    for part in parts:
        whole |= polygon2mask(shape, _to_pixels(part, pose))
    return whole, head_mask


def head_centre(animal: Animal) -> float:
    """``u`` of the head's middle: it overlaps the front of the body by a third."""
    return 1.0 + 0.35 * animal.head_size


def coat(animal: Animal, u: Field, v: Field, noise: Field) -> Field:
    """RGB [H,W,3] of the body: texture, shading towards the rim, a little noise."""
    pattern = animal.coat(u, v, noise)
    across = np.clip(np.abs(v) / max(animal.aspect, 1e-3), 0, 1.3)
    value = 0.50 + 0.24 * pattern - 0.20 * across**2 + 0.12 * (noise - 0.5)
    saturation = np.clip(animal.saturation * (1.1 - 0.45 * pattern), 0, 1)
    return textures.paint(animal.hue, saturation, value)


def face(animal: Animal, u: Field, v: Field, noise: Field) -> Field:
    """RGB [H,W,3] of the head: two strong colours in the class's own marking."""
    du, dv = (u - head_centre(animal)) / animal.head_size, v / animal.head_size
    marking = animal.marking(du, dv, noise)[..., None]
    shade = np.clip(1.0 - 0.25 * np.hypot(du, dv) ** 2, 0.5, 1)
    first, second = animal.head_hues
    saturation, darkest = (0.0, 0.12) if first == second else (0.9, 0.7)
    light = textures.paint(first, saturation, 0.95 * shade)
    dark = textures.paint(second, saturation, darkest * shade)
    return marking * light + (1 - marking) * dark


def _to_pixels(points: Field, pose: Pose) -> Field:
    u, v = points[:, 0], points[:, 1]
    v = (v + pose.bend * u**2) * pose.width
    x = np.cos(pose.angle) * u - np.sin(pose.angle) * v
    y = np.sin(pose.angle) * u + np.cos(pose.angle) * v
    return np.stack([pose.row + pose.half_length * y, pose.column + pose.half_length * x], axis=1)
