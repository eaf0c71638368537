"""Made pictures as JPEG files with a catalogue, and a network that looks at them: what whole stages start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor, nn
from torch.nn import functional as F

from models.method import Method
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.datasets.toy_scenes import make_scene
from pipeline.storage.checkpoints import build_method

CLASSES = tuple(f"class_{number}" for number in range(1, 21))


@dataclass(frozen=True)
class Photos:
    """A catalogue of JPEGs in a folder, which goes with the last that knows it; tags bool [N,C]; a network.

    Attributes:
        results: a folder for what a form writes.
    """

    folder: TemporaryDirectory[str]
    catalogue: Catalogue
    tags: np.ndarray
    network: Method

    @property
    def results(self) -> Path:
        return Path(self.folder.name) / "results"

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every picture."""
        return next(iter(self.catalogue.entries.values())).size


def photos(method: str, images: int, height: int, width: int) -> Photos:
    """Scenes of animals, and ``method`` on MobileNetV2 with drawn weights, for 20 classes."""
    folder: TemporaryDirectory[str] = TemporaryDirectory()
    names = tuple(f"img_{k:05d}" for k in range(images))
    tags = np.zeros((images, len(CLASSES)), bool)
    for k, name in enumerate(names):
        scene = make_scene(np.random.default_rng((0, k)), max(height, width), max(height, width))
        PILImage.fromarray(scene.image[:height, :width]).save(Path(folder.name) / f"{name}.jpg", quality=92)
        tags[k, [label - 1 for label in np.unique(scene.mask) if label]] = True
    entries = {name: CatalogueImage(name, f"{name}.jpg", (height, width)) for name in names}
    catalogue = Catalogue("made", CLASSES, {"train": names}, entries, folder=Path(folder.name))
    torch.manual_seed(0)
    x = Photos(folder, catalogue, tags, build_method(method, len(CLASSES), {}).eval())
    x.results.mkdir()
    _calibrate(x.network, opened(x, names[0]))
    return x


@torch.no_grad()
def _calibrate(network: Method, image: Tensor) -> None:
    """Batch norms take their statistics from a picture: with those of new layers all activations would vanish."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    network.backbone(image)  # type: ignore[operator]
    network.eval()


def opened(x: Photos, name: str) -> Tensor:
    """The picture as Pillow opens it, float32 [1,3,H,W] in [0,1], contiguous."""
    picture = np.array(PILImage.open(x.catalogue.path(f"{name}.jpg")).convert("RGB"))
    return (torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255).contiguous()


def views(image: Tensor, scales: Sequence[float]) -> Iterator[Tensor]:
    """The picture [1,3,H,W] at each scale, bilinear, antialiased."""
    for scale in scales:
        size = [round(length * scale) for length in image.shape[2:]]
        yield F.interpolate(image, size, mode="bilinear", antialias=True).clamp(0, 1)
