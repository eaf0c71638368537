"""Exporting CAMs, files to store, beside a loop over images, scales and mirror images, and beside the network alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.frame import Case, Results
from benchmarks.made_photos import CLASSES, Photos, opened, photos, views
from models.ops.multiscale import evaluating, scaled_views, to_batch
from pipeline.storage.stores import CamStore, Header
from pipeline.storage.whole import remove
from stages.export_cams import export_cams

SCALES, GRID = (0.5, 1.0, 1.5), 4


def pictures(images: int, height: int, width: int) -> Photos:
    """Made pictures; weights of the class maps are positive, so that every map has something to show."""
    x = photos("classifier", images, height, width)
    x.network.head.classifier.weight.data.abs_()  # type: ignore[union-attr, operator]
    return x


def stage(x: Photos) -> Results:
    """What the stage does with a chunk of images: an image and its mirror image together, channels last, batch norms in
    the convolutions; maps on a grid of 4 pixels; float16 in a store.
    """
    return _cells(_exported(x))


def in_bfloat16(x: Photos) -> Results:
    """The same with ``precision: bfloat16``, which is float32 where the CPU has no instructions for it."""
    return _mean(_cells(_exported(x, "bfloat16")))


def loop_for_half(x: Photos) -> Results:
    """The loop of ``export_cams.loop``, in float32."""
    return _mean(loop(x))


def _mean(results: Results) -> Results:
    """Of all cells: weights are random and maps nearly flat, so that normalising them enlarges what bfloat16 rounds."""
    return {"mean": float(np.mean(results["cells"])), "deviation": float(np.std(results["cells"]))}


def _cells(path: Path) -> Results:
    store = CamStore(path)
    return {"cells": np.concatenate([cam.scores for _, cam in store.items(store.ids)])}


def _exported(x: Photos, precision: str = "float32") -> Path:
    names, path = x.catalogue.ids("train"), x.results / "cams"
    remove(path)
    header = Header(names, (x.size,) * len(names), CLASSES, x.catalogue.digest)
    writer = CamStore.create(path, header, [tuple(np.flatnonzero(tags) + 1) for tags in x.tags])
    samples = ((name, x.catalogue.image(name), tags) for name, tags in zip(names, x.tags, strict=True))
    options: Any = {"scales": SCALES, "grid": GRID, "alignment": "half_pixel", "precision": precision}
    cams = export_cams(samples, x.network, **options)
    writer.write(0, [cam for _, cam in cams])
    return writer.finish()


def loop(x: Photos) -> Results:
    """Each image, scale and mirror image alone through the network, contiguous float32; maps of all classes enlarged to
    the image and summed; a NumPy dictionary of float32 maps for each image.

    Source: docs/methods/seam.md, docs/methods/hfpl.md (inference).
    """
    cells = []
    for name, tags in zip(x.catalogue.ids("train"), x.tags, strict=True):
        maps = _normalised(_summed(x, opened(x, name)))
        present = np.flatnonzero(tags)
        dictionary = {int(label): maps[label].numpy() for label in present}
        np.save(x.results / f"{name}.npy", dictionary, allow_pickle=True)  # type: ignore[arg-type]
        grid = [-(-length // GRID) for length in x.size]
        cells.append(F.interpolate(maps[present][None], grid, mode="bilinear", align_corners=False)[0].numpy())
    return {"cells": np.concatenate(cells)}


@torch.no_grad()
def _summed(x: Photos, image: Tensor) -> Tensor:
    """Rectified maps of all classes, [C,H,W]."""
    total, every = torch.zeros(len(CLASSES), *x.size), torch.ones(1, len(CLASSES), dtype=torch.bool)
    for view in views(image, SCALES):
        for mirrored in (False, True):
            maps = x.network.cams((view.flip(-1) if mirrored else view).contiguous(), every)
            enlarged = F.interpolate(maps, x.size, mode="bilinear", align_corners=False)[0]
            total += enlarged.flip(-1) if mirrored else enlarged
    return total


def _normalised(maps: Tensor) -> Tensor:
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return ((maps - low - 1e-5) / (high - low + 1e-5)).clamp(0, 1)


@dataclass(frozen=True)
class Prepared:
    """Pictures as files, and all their views with mirror images in memory."""

    photos: Photos
    views: list[list[Tensor]]


def prepared(images: int, height: int, width: int) -> Prepared:
    """The same pictures."""
    x = pictures(images, height, width)
    loaded = (to_batch([x.catalogue.image(name)], "cpu") for name in x.catalogue.ids("train"))
    return Prepared(x, [list(scaled_views(image, SCALES, True)) for image in loaded])


def whole(x: Prepared) -> Results:
    """The stage from JPEG files to the store."""
    return {"images": len(CamStore(_exported(x.photos)))}


def passes(x: Prepared) -> Results:
    """The stage's passes through the network and nothing else: views are in memory, maps are thrown away."""
    network, done = x.photos.network, 0
    with evaluating(network, "cpu", "float32"):
        for views_of_image, tags in zip(x.views, x.photos.tags, strict=True):
            doubled = torch.from_numpy(np.stack([tags, tags]))
            done += all(len(network.cams(view, doubled)) == 2 for view in views_of_image)
    return {"images": done}


SIZE, QUICK = {"images": 3, "height": 375, "width": 500}, {"images": 1, "height": 60, "width": 80}
CASES = {
    "loop": Case("CAM export, 3 scales, from files to files", pictures, stage, loop, SIZE, QUICK, 0.1, 3),
    "half": Case("CAM export in bfloat16, 3 scales", pictures, in_bfloat16, loop_for_half, SIZE, QUICK, 0.1, 3),
    "passes": Case("CAM export beside its network alone", prepared, whole, passes, SIZE, QUICK, 0, 3),
}
