"""A second encoder beside an official network: read from one folder, and taken over by a method with two encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.backbones.resnet import ResNet18
from models.errors import DataError
from pipeline.storage.checkpoints import Card, build_method, load_init, load_method, read_checkpoint
from pipeline.weights.official.importing import OfficialNetwork, save_official
from pipeline.weights.pretrained import import_weights
from pipeline.weights.second import save_with_second, two_files
from tests.helpers.pages import build

NAMES = ("a", "b", "c")
TINY: dict[str, Any] = {"backbone": "clip_vit_b16", "width": 1 / 12, "backgrounds": 2}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save(ResNet18().state_dict(), tmp_path / "resnet18.pth")
    page = build("clip_es", **TINY)
    published = OfficialNetwork(page, Card("clip_es", dict(TINY), NAMES, {"official": "clip_es"}), ())
    save_with_second(tmp_path / "both", published, import_weights("resnet18", tmp_path / "resnet18.pth"))
    return tmp_path / "both"


def test_a_method_with_two_encoders_starts_from_both(saved: Path) -> None:
    card, state = read_checkpoint(saved)
    assert (card.method, card.class_names, card.recipe["second"]["file"]) == ("", NAMES, "resnet18.pth")
    method: Any = build_method("weclip_plus", 3, {**TINY, "second": "resnet18", "head_width": 16}, seed=1)
    report = load_init(method, saved, NAMES)
    assert {name.split(".")[0] for name in report.new} == {"fusion", "second_fusion", "decoder"}
    assert torch.equal(method.second.conv1.weight, state["second.conv1.weight"])
    assert torch.equal(method.texts.classes, state["texts.classes"])
    with pytest.raises(DataError, match="weights to start from, not a trained method"):
        load_method(saved)


def test_a_second_encoder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    page = build("clip_es", **TINY)
    published = OfficialNetwork(page, Card("clip_es", dict(TINY), NAMES), ())
    torch.save(ResNet18(width=0.5).state_dict(), tmp_path / "half.pth")
    with pytest.raises(DataError, match="does not hold weights of 'resnet18'"):
        import_weights("resnet18", tmp_path / "half.pth")
    save_official(tmp_path / "alone", published)
    method = build_method("weclip_plus", 3, {**TINY, "second": "resnet18", "head_width": 16})
    with pytest.raises(DataError, match=r"lacks what the method does not learn.*second\."):
        load_init(method, tmp_path / "alone", NAMES)


def test_the_folder_has_these_two_files_and_nothing_else(tmp_path: Path) -> None:
    for name in ("ViT-B-16.pt", "dino.pth"):
        (tmp_path / name).touch()
    assert two_files(tmp_path, "dino.pth") == (tmp_path / "ViT-B-16.pt", tmp_path / "dino.pth")
    with pytest.raises(DataError, match=r"two files, other\.pth and the official network's, found ViT-B-16\.pt, dino"):
        two_files(tmp_path, "other.pth")
    (tmp_path / "README").touch()
    with pytest.raises(DataError, match="Remedy: copy these two there, and nothing else"):
        two_files(tmp_path, "dino.pth")
