"""The training loader's augmentation beside torchvision's v2 transforms: same images, same random draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from benchmarks.frame import Case, Results
from benchmarks.made_photos import CLASSES, Photos, photos
from benchmarks.training import Step, as_trained, step
from models.backbones.base import IMAGENET_MEAN
from models.structures import IGNORE, UNLABELLED, Image, Supervision
from pipeline.datasets.toy_scenes import make_scene
from pipeline.loading.loader_options import LoaderOptions
from pipeline.loading.loaders import TrainLoader, augment

ADJUST = {"brightness": V.adjust_brightness, "contrast": V.adjust_contrast, "saturation": V.adjust_saturation}


@dataclass(frozen=True)
class Inputs:
    """Drawn pictures uint8 [H,W,3] with masks as seeds, and how they become views."""

    images: list[Image]
    supervision: list[Supervision]
    options: LoaderOptions


def inputs(jitter: float, images: int, shortest: int, longest: int, crop: int) -> Inputs:
    """Scenes of animals, of which sides are in the range."""
    scenes = [make_scene(np.random.default_rng((0, k)), shortest, longest) for k in range(images)]
    seen = [Supervision(np.ones(20, bool), scene.mask) for scene in scenes]
    strengths: dict[str, Any] = dict.fromkeys(ADJUST, jitter)
    options = LoaderOptions(crop=crop, scale=(0.5, 1.5), **strengths, hue=jitter / 3)
    return Inputs([scene.image for scene in scenes], seen, options)


def ours(x: Inputs) -> Results:
    """``augment``: only the pixels of the crop are resampled, by Pillow; colours by Pillow too."""
    rng = np.random.default_rng(0)
    views = [augment(image, seen, x.options, rng) for image, seen in zip(x.images, x.supervision, strict=True)]
    return {"images": np.stack([view for view, _ in views]), "seeds": np.stack([seen.seeds for _, seen in views])}


def torchvision_v2(x: Inputs) -> Results:
    """Resize the picture, crop or pad, jitter colours, mirror, scale to [0,1]: torchvision's kernels one by one."""
    rng = np.random.default_rng(0)
    views = [_view(image, seen.seeds, x.options, rng) for image, seen in zip(x.images, x.supervision, strict=True)]
    return {"images": torch.stack([view for view, _ in views]), "seeds": torch.stack([seeds for _, seeds in views])}


def _view(image: Image, seeds: np.ndarray, options: LoaderOptions, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    factor = float(rng.uniform(*options.scale))
    size = [round(length * factor) for length in image.shape[:2]]
    flip = bool(rng.integers(2))
    picture = V.resize(torch.from_numpy(image).permute(2, 0, 1), size, InterpolationMode.BICUBIC, antialias=True)
    labels = V.resize(torch.from_numpy(seeds)[None], size, InterpolationMode.NEAREST_EXACT)
    shifts = [int(rng.integers(abs(length - options.crop) + 1)) for length in size]
    top, left = (shift if length > options.crop else 0 for shift, length in zip(shifts, size, strict=True))
    before = [shift if length < options.crop else 0 for shift, length in zip(shifts, size, strict=True)]
    picture, labels = (part[:, top : top + options.crop, left : left + options.crop] for part in (picture, labels))
    after = [options.crop - first - length for first, length in zip(before, picture.shape[1:], strict=True)]
    padding = (before[1], after[1], before[0], after[0])
    view = V.to_dtype(_jittered(picture, options, rng), torch.float32, scale=True)
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    view = F.pad(view - mean, padding) + mean
    labels = F.pad(labels, padding, value=IGNORE)[0]
    return (V.horizontal_flip(view), V.horizontal_flip(labels)) if flip else (view, labels)


def _jittered(picture: Tensor, options: LoaderOptions, rng: np.random.Generator) -> Tensor:
    strengths = {name: getattr(options, name) for name in (*ADJUST, "hue")}
    drawn = {name: rng.uniform(-strength, strength) for name, strength in strengths.items() if strength}
    for name in rng.permutation(list(drawn)):
        picture = V.adjust_hue(picture, drawn[name]) if name == "hue" else ADJUST[name](picture, 1 + drawn[name])
    return picture


@dataclass(frozen=True)
class Loading:
    """A loader of JPEG files without labels of pixels, and the classifier that learns from its batches."""

    loader: TrainLoader
    step: Step


@dataclass(frozen=True)
class Tags:
    """What is known of made pictures: their tags."""

    photos: Photos

    @property
    def ids(self) -> tuple[str, ...]:
        return self.photos.catalogue.ids("train")

    def __getitem__(self, name: str) -> Supervision:
        seeds = np.full(self.photos.size, UNLABELLED, np.uint8)
        return Supervision(self.photos.tags[self.ids.index(name)], seeds)


@dataclass(frozen=True)
class Alone:
    """One process that trains."""

    world_size: int = 1
    global_rank: int = 0


def loading(images: int, height: int, width: int, crop: int) -> Loading:
    """A batch of all the pictures, with colour jitter, in a random scale."""
    made = photos("classifier", images, height, width)
    strengths: dict[str, Any] = dict.fromkeys(ADJUST, 0.3)
    options = LoaderOptions(batch_size=images, crop=crop, scale=(0.5, 1.5), **strengths, num_workers=0)
    return Loading(TrainLoader(made.catalogue, Tags(made), options, Alone()), step(images, crop, len(CLASSES)))


def load(x: Loading) -> Results:
    """A batch from JPEG files: decoded, augmented, stacked."""
    (batch,) = x.loader.batches(0, 1)
    return {"images": len(batch.image), "side": batch.image.shape[-1]}


def learn(x: Loading) -> Results:
    """A step of the classifier on such a batch, which is in memory."""
    as_trained(x.step)
    return {"images": len(x.step.batch.image), "side": x.step.batch.image.shape[-1]}


SIZE = {"images": 16, "shortest": 300, "longest": 500, "crop": 256}
QUICK = {"images": 4, "shortest": 60, "longest": 90, "crop": 48}
CASES = {
    "plain": Case("Augmentation without colour jitter", partial(inputs, 0.0), ours, torchvision_v2, SIZE, QUICK, 2e-2),
    "jitter": Case("Augmentation with colour jitter", partial(inputs, 0.3), ours, torchvision_v2, SIZE, QUICK, 8e-2),
    "step": Case(
        "Loading a batch, beside learning from it",
        loading,
        load,
        learn,
        size={"images": 8, "height": 375, "width": 500, "crop": 192},
        quick={"images": 2, "height": 60, "width": 80, "crop": 64},
        tolerance=0,
    ),
}
