"""Adding a method is one file and one line in ``models/methods/__init__.py``: all else is read from the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = '''"""A page for this test: pixels of the CAMs of attention, with an option of every kind."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from models.backbone_method import BackboneMethod
from models.losses.cross_entropy import seed_cross_entropy
from models.options import Share, StartEpoch, Weight
from models.structures import Batch, Outputs, StepContext


class Mine(BackboneMethod):
    grid = "layer3"
    learns_from_pixels = True
    reads_attention = ATTENTION
    switches = {"scores": "segmentation"}
    bands = (("low", "high"),)

    def __init__(
        self,
        num_classes: int,
        *,
        high: Share = 0.5,
        low: Share = 0.2,
        segmentation: Weight = 1.0,
        begin_at: StartEpoch = 3.0,
        **on_backbone: Any,
    ) -> None:
        super().__init__(**on_backbone)
        self.head = nn.Conv2d(self.backbone.channels["layer3"], 1 + num_classes, 1)
        self.segmentation, self.begin_at = segmentation, begin_at

    def forward(self, batch: Batch) -> Outputs:
        return {"logits": self.scores(batch.image)}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        seeds = batch.seeds[:, :: self.stride, :: self.stride]
        counts = float(context.epoch >= self.begin_at)
        return {"segmentation": counts * self.segmentation * seed_cross_entropy(outputs["logits"], seeds)}

    def scores(self, image: Tensor) -> Tensor:
        return self.head(self.backbone(image)["layer3"])
'''

TRAIN = {
    "data": "toy",
    "supervision": "cam_crf",
    "method": "mine",
    "init": "random",
    "model": {"backbone": "resnet18", "width": 0.25},
    "loader": {"batch_size": 2, "crop": 64},
    "settings": {"steps": 2},
}

FORWARD = """
import torch
from models.structures import Batch, StepContext
from pipeline.book.load import checked_book
from pipeline.running.dry_run.limits import Limits
from pipeline.storage.checkpoints import build_method, page_options

entry = Limits(max_steps=2).training(checked_book(".").train["mine"])
assert entry.model["begin_at"] == 0, "a dry run has the late loss at once"
method = build_method("mine", 3, entry.model)
seeds = torch.zeros(2, 64, 64).long()
batch = Batch(torch.rand(2, 3, 64, 64), torch.ones(2, 3, dtype=torch.bool), seeds, ("a", "b"))
outputs = method(batch)
assert outputs["logits"].shape == (2, 4, 4, 4) and method.stride == 16, outputs["logits"].shape
assert method.losses(outputs, batch, StepContext(0, 2, 1))["segmentation"] > 0
options = page_options("mine", {"high": 0.9})
assert options["high"] == 0.9 and options["frozen_stages"] == 0 and len(options) == 10, options
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more file and one more line."""
    copy = tmp_path_factory.mktemp("project")
    for folder in ("models", "stages", "pipeline"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("dvc.yaml", "pyproject.toml"):
        shutil.copy(ROOT / file, copy)
    door = copy / "models" / "methods" / "__init__.py"
    door.write_text(door.read_text().replace("METHODS = {\n", 'METHODS = {\n    "mine": "models.methods.mine:Mine",\n'))
    return copy


def run(project: Path, *arguments: str, attention: bool = False, **changed: Any) -> subprocess.CompletedProcess[str]:
    (project / "models" / "methods" / "mine.py").write_text(PAGE.replace("ATTENTION", str(attention)))
    book = yaml.safe_load((ROOT / "params.yaml").read_text())
    predict = {"data": "toy", "split": "val", "checkpoint": "mine"}
    book["train"]["mine"] = {**TRAIN, **changed, "model": {**TRAIN["model"], **changed.get("model", {})}}  # type: ignore[dict-item]
    book["predict_masks"]["mine"] = predict
    (project / "params.yaml").write_text(yaml.safe_dump(book))
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def test_it_is_checked_and_it_learns(project: Path) -> None:
    found = run(project, "-m", "pipeline", "check")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "21 stages, every name and option resolves" in found.stdout
    found = run(project, "-c", FORWARD)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": {"high": 2}}, "train.mine.model.high: expected a share in [0,1], found 2"),
        ({"model": {"high": 0.1}}, "train.mine.model.low: expected at most high (0.1), found 0.2"),
        ({"model": {"frozen_stages": 6}}, "model.frozen_stages: expected a whole number from 0 to 5, found 6"),
        ({"model": {"hihg": 0.1}}, "unknown key 'hihg'. Did you mean 'high'?"),
        ({"model": {"segmentation": 0}}, "'mine' is trained with segmentation: 0, so that it cannot segment"),
        ({"supervision": "tags"}, "'mine' needs pseudo-masks, masks, boxes, points or scribbles"),
        ({"attention": True}, "train.mine.model.backbone: 'mine' reads attention; backbones that have it: mit_b0"),
    ],
)
def test_what_is_wrong_with_it_is_said(project: Path, changed: dict[str, Any], message: str) -> None:
    found = run(project, "-m", "pipeline", "check", **changed)
    assert found.returncode == 2
    assert message in " ".join((found.stdout + found.stderr).split())
