"""A training on a frozen encoder reads what it has seen before, and ends with the same weights."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from models.errors import ConfigurationError
from models.method import Method
from models.methods.classifier import Classifier
from models.methods.seam import Seam
from models.methods.segmenter import SegmenterNetwork
from models.settings import TrainSettings
from pipeline.binders.keeping import FOLDER, Keeping
from pipeline.book.check import check
from pipeline.book.params import load_book
from pipeline.compute import runtime
from pipeline.loading.loader_options import LoaderOptions
from pipeline.loading.loaders import TrainLoader
from stages.train import train
from tests.helpers.tiny_training import Pictures

ROOT = Path(__file__).parents[3]
VIEWS, EPOCHS = 2, 4
HOW = {"precision": "32-true", "device": "cpu", "channels_last": False}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")


def page(kind: type[Method] = Classifier, frozen: bool = True) -> Method:
    method = deepcopy(_learning(kind))
    if frozen:
        method.backbone.hold()  # type: ignore[operator,union-attr]
    return method


@cache
def _learning(kind: type[Method]) -> Method:
    """With statistics in its batch norms: without, a random network's features are of the order of 1e-9."""
    torch.manual_seed(0)
    method = kind(2, backbone="mobilenet_v2", width=0.25)  # type: ignore[call-arg]
    norms = [module for module in method.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over passes
    for _ in range(3):
        method.backbone(torch.rand(4, 3, 32, 32))  # type: ignore[operator]
    return method


def trained(method: Method, keep: bool = True, seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    pictures, options = Pictures(), LoaderOptions(batch_size=5, crop=24, views=VIEWS, num_workers=0)
    keeping = Keeping.of("it", method, len(pictures.ids) * VIEWS, HOW) if keep else None
    loader = TrainLoader(pictures, pictures, options, runtime.fabric(), seed=seed)
    settings = TrainSettings(epochs=EPOCHS, lr=0.1)
    train(method, loader, runtime.fabric(), settings, seed=seed)
    return deepcopy(dict(method.state_dict())), keeping.said if keeping else {}


@pytest.mark.parametrize("kind", [Classifier, SegmenterNetwork])
def test_later_epochs_and_other_seeds_compute_nothing(kind: type[Method]) -> None:
    images = len(Pictures.ids)
    first, said = trained(page(kind))
    assert said == {"read": (EPOCHS - VIEWS) * images, "computed": VIEWS * images, "added": VIEWS * images}
    again, said = trained(page(kind))
    assert said["computed"] == 0
    assert all(torch.equal(again[name], value) for name, value in first.items())
    _, said = trained(page(kind), seed=1)
    assert said["computed"] == 0, "views are those of every seed"


def test_it_is_the_training_without_up_to_the_rounding_of_float16() -> None:
    kept, plain = trained(page())[0], trained(page(), keep=False)[0]
    begun = page().state_dict()
    learned = [name for name in plain if not torch.equal(plain[name], begun[name])]
    assert learned
    for name in learned:
        moved = (plain[name] - begun[name]).norm()
        assert (kept[name] - plain[name]).norm() < 5e-3 * moved, name


def test_a_second_view_of_the_page_is_kept_too() -> None:
    _, said = trained(page(Seam))
    assert said["added"] == said["computed"]
    assert said["read"] == said["computed"], "two epochs computed, two read, at both sizes"


def test_other_weights_of_the_encoder_have_a_folder_of_their_own() -> None:
    trained(page())
    other = page()
    with torch.no_grad():
        next(other.backbone.parameters()).add_(0.01)  # type: ignore[operator,union-attr]
    _, said = trained(other)
    assert said["computed"] > 0
    assert len([*FOLDER.iterdir()]) == 2


def test_views_that_a_page_draws_anew_are_a_counted_warning() -> None:
    keeping = Keeping.of("it", method := page(), 1, HOW)
    for _ in range(3):
        method.features(torch.rand(1, 3, 32, 32))["layer4"]  # type: ignore[operator]
    with pytest.warns(UserWarning, match=r"train\.it: 2 of 3 computed maps .* draws anew"):
        keeping.close()


def test_what_does_not_look_is_refused() -> None:
    keeping = Keeping.of("it", page(), 10, HOW)
    with pytest.raises(ConfigurationError, match="looks past them"):
        keeping.require_use()
    with pytest.raises(ConfigurationError, match="expected a frozen backbone, found none"):
        Keeping.of("it", page(frozen=False), 10, HOW)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"model": {}}, "keep_features: the backbone learns. Remedy: model.frozen: true"),
        ({"loader": {}}, "keep_features: each view of an image is new. Remedy: loader.views: 2"),
        ({"method": "toco"}, "keep_features: 'toco' reads tokens and not its backbone's features"),
        ({"method": "weclip"}, "keep_features: 'weclip' reads blocks of CLIP and not its backbone's features"),
        ({"method": "boundary_net"}, "keep_features: 'boundary_net' has no option frozen"),
    ],
)
def test_check_says_what_is_missing(entry: dict[str, object], message: str) -> None:
    book = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    good = {"model": {"frozen": True}, "loader": {"views": 2}, "settings": {"epochs": 2, "keep_features": True}}
    book["train"]["classifier"] |= good
    Path("params.yaml").write_text(yaml.safe_dump(book), encoding="utf-8")
    check(load_book("."))
    book["train"]["classifier"] |= entry
    Path("params.yaml").write_text(yaml.safe_dump(book), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        check(load_book("."))
