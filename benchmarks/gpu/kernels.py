"""CAM export, and operations that run on the device and on the CPU alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import yaml
from torch.nn import functional as F

from benchmarks.gpu.parts import Given
from benchmarks.gpu.steps import BOOK, CLASSES
from benchmarks.gpu.timing import peak_megabytes, seconds_of, set_tf32, wait
from models.methods.boundary_net import boundary_links
from models.ops.nearest import nearest
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.spherical_kmeans import grid_clusters, spherical_kmeans
from pipeline.storage.checkpoints import build_method
from stages.export_cams import export_cams

SIZE = (375, 500)


def export(given: Given) -> None:
    """SEAM on ResNet-38d, four scales and mirror images: images a second by batch size and arithmetic."""
    with open(BOOK, encoding="utf-8") as file:
        model: dict[str, Any] = yaml.safe_load(file)["train"]["seam"]["model"]
    size, count, sizes = (SIZE, 16, (1, 4, 8))
    if given.tiny:
        model, size, count, sizes = model | {"backbone": "resnet18", "width": 0.25}, (48, 64), 2, (1, 2)
    torch.manual_seed(0)
    method = build_method("seam", CLASSES, model).eval().to(given.device)
    images = np.random.default_rng(0).integers(256, size=(count, *size, 3), dtype=np.uint8)
    tags = np.arange(CLASSES) < 2
    for arithmetic in ("float32", "tf32", "bfloat16"):
        set_tf32(arithmetic == "tf32")
        precision = "bfloat16" if arithmetic == "bfloat16" else "float32"
        for batch_size in sizes:
            samples = [(str(number), image, tags) for number, image in enumerate(images)]
            options: dict[str, Any] = {"device": given.device, "batch_size": batch_size, "precision": precision}
            list(export_cams(samples[:batch_size], method, **options))
            wait(given.device)
            begin = time.perf_counter()
            list(export_cams(samples, method, **options))
            taken = time.perf_counter() - begin
            row = {"arithmetic": arithmetic, "images together": batch_size, "images a second": round(count / taken, 2)}
            given.keep(row | {"peak MB": peak_megabytes(given.device)})


def run(given: Given) -> None:
    """Seconds on the device and on the CPU, and how far the results are apart."""
    set_tf32(False)
    for title, make in _operations(given.tiny):
        results, seconds = {}, {}
        for device in dict.fromkeys((given.device, "cpu")):
            work = make(device)
            seconds[device] = seconds_of(work, device, times=3, warm=1)
            results[device] = torch.as_tensor(work()).cpu()
        expected, found = results["cpu"], results[given.device]
        if expected.is_floating_point():
            gap = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
        else:
            gap = float((found != expected).float().mean())
        given.keep({"operation": title, "seconds": seconds, "difference": gap})


def _operations(tiny: bool) -> Iterator[tuple[str, Callable[[str], Callable[[], Any]]]]:
    """Title -> what makes the work for a device."""
    generator = torch.Generator().manual_seed(0)
    height, width = (24, 32) if tiny else SIZE
    image = torch.rand(1, 3, height, width, generator=generator)
    mask = torch.rand(1, 4, height, width, generator=generator)
    boundary = torch.rand(1, height // 4, width // 4, generator=generator) ** 4
    cams = np.random.default_rng(0).random((2, height // 4, width // 4))
    side = 16 if tiny else 128
    vectors = F.normalize(torch.randn(2 if tiny else 16, side**2, 66, generator=generator), dim=2)
    bank = F.normalize(torch.randn(500 if tiny else 262_144, 64, generator=generator), dim=1)

    def adaptive(device: str) -> Callable[[], Any]:
        there = image.to(device), mask.to(device)
        return lambda: PixelAdaptive("par")(*there)

    def walk(device: str) -> Callable[[], Any]:
        there = boundary.to(device)
        return lambda: boundary_links(there, 5).walk(cams, 10, 2**8)

    def clusters(device: str) -> Callable[[], Any]:
        there, start = vectors.to(device), grid_clusters((side, side), (6, 6), device).flatten()
        kept = torch.ones(vectors.shape[:2], dtype=torch.bool, device=device)
        return lambda: spherical_kmeans(there, start, kept, 36)

    def neighbours(device: str) -> Callable[[], Any]:
        there = bank.to(device)
        return lambda: nearest(there[:144], there, 20)[0]

    yield "IRN's walk at a quarter of the image's size", walk
    yield "PAR, four maps at the image's size", adaptive
    yield "k-means of SPML's batch", clusters
    yield "20 neighbours of 144 segments in SPML's bank", neighbours
