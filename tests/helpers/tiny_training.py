"""A small training, for the tests that kill it or run it in several processes (``tiny_training.py FOLDER [PAUSE]``)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.method import Method
from models.settings import TrainSettings
from models.structures import Batch, Image, Outputs, StepContext, Supervision
from pipeline.compute import runtime
from pipeline.loading.loader_options import LoaderOptions
from pipeline.loading.loaders import TrainLoader
from pipeline.storage.resume import Resume
from stages.train import HistoryRow, train

STEPS = 24


class Small(Method):
    """A classifier with batch norm, dropout and noise from the step's generator."""

    def __init__(self, dropout: float, noise: float) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout))
        self.classifier = nn.Conv2d(6, 2, 1)
        self.noise = noise

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.classifier

    def forward(self, batch: Batch) -> Outputs:
        return {"logits": self.classifier(self.features(batch.image)).mean((2, 3))}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        logits = outputs["logits"]
        noise = self.noise * torch.randn(logits.shape, generator=context.generator, device=logits.device)
        return {"tags": functional.binary_cross_entropy_with_logits(logits + noise, batch.tags.float())}


class Pictures:
    """Twenty noise images of 32 px, brighter where a class is present."""

    ids = tuple(f"{number:02d}" for number in range(20))

    def image(self, id: str) -> Image:
        return np.random.default_rng(int(id)).integers(100 + 50 * (int(id) % 3), size=(32, 32, 3), dtype=np.uint8)

    def __getitem__(self, id: str) -> Supervision:
        return Supervision(np.array([int(id) % 2 == 0, int(id) % 3 == 0]), np.zeros((32, 32), np.uint8))


@dataclass(frozen=True)
class Run:
    """One training. It touches ``folder/reached_N`` at every row of its history, and pauses there."""

    folder: Path
    num_workers: int = 0
    dropout: float = 0.0
    noise: float = 0.0
    pause: float = 0.0

    def __call__(self) -> None:
        fabric = runtime.fabric()
        torch.manual_seed(0)
        method = Small(self.dropout, self.noise)
        options = LoaderOptions(batch_size=8, crop=24, scale=(0.8, 1.2), num_workers=self.num_workers)
        loader = TrainLoader(Pictures(), Pictures(), options, fabric, seed=1)
        settings = TrainSettings(steps=STEPS, lr=0.1, ema=0.9, log_every=5)
        resume = Resume(self.folder / "state", every_seconds=0.0, writes=fabric.global_rank == 0)
        with resume.stopping_at_a_step():
            result = train(
                method, loader, fabric, settings, seed=1, state=resume.load(), on_row=self.reach, on_step=resume.on_step
            )
        if fabric.global_rank == 0:
            arrays = {name: value.cpu().numpy() for name, value in method.state_dict().items()}
            np.savez(self.folder / "weights.npz", **arrays)  # type: ignore[arg-type]
            (self.folder / "history.json").write_text(json.dumps(result.history))
            resume.finish()

    def reach(self, row: HistoryRow) -> None:
        (self.folder / f"reached_{int(row['step'])}").touch()
        time.sleep(self.pause)


if __name__ == "__main__":
    Run(Path(sys.argv[1]), pause=float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)()
