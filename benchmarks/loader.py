"""Images a second of the training loader's augmentation, beside torchvision's v2 transforms on the same images.

python -m benchmarks.loader FOLDER_OF_JPEGS
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from models.structures import Image, Supervision
from pipeline.datasets.images import read_image
from pipeline.loading.loader_options import LoaderOptions
from pipeline.loading.loaders import augment

CROP = 256


def ours(image: Image, supervision: Supervision, jitter: float, rng: np.random.Generator) -> None:
    options = LoaderOptions(
        crop=CROP, scale=(0.5, 1.5), brightness=jitter, contrast=jitter, saturation=jitter, hue=jitter / 3
    )
    augment(image, supervision, options, rng)


def torchvision_v2(image: Image, supervision: Supervision, jitter: float, rng: np.random.Generator) -> None:
    height, width = (round(length * rng.uniform(0.5, 1.5)) for length in image.shape[:2])
    pair = (
        tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)),
        tv_tensors.Mask(torch.from_numpy(supervision.seeds)),
    )
    bicubic = v2.InterpolationMode.BICUBIC
    steps = [v2.Resize((height, width), bicubic, antialias=True), v2.RandomCrop(CROP, pad_if_needed=True)]
    steps += [v2.RandomHorizontalFlip()]
    steps += [v2.ColorJitter(jitter, jitter, jitter, jitter / 3)] if jitter else []
    v2.Compose([*steps, v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)])(*pair)


def rate(run: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    for number in range(count):
        run(number)
    return count / (time.perf_counter() - start)


def main(folder: Path, count: int = 100) -> None:
    torch.set_num_threads(1)
    paths = sorted(folder.glob("*.jpg"))[:count]
    images = [read_image(path) for path in paths]
    labels = [Supervision(np.ones(20, bool), np.zeros(image.shape[:2], np.uint8)) for image in images]
    rng = np.random.default_rng(0)
    print(f"decoding: {rate(lambda i: read_image(paths[i]), len(paths)):.0f} images/s")
    for jitter in (0.0, 0.3):
        for augmenter in (ours, torchvision_v2):
            speed = rate(lambda i: augmenter(images[i], labels[i], jitter, rng), len(paths))  # noqa: B023
            print(f"{augmenter.__name__}, colour jitter {jitter}: {speed:.0f} images/s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
