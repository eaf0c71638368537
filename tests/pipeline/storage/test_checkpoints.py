"""Checkpoints: whole, the same bytes, and clear about what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import DataError
from models.method import Method
from models.methods import METHODS
from models.structures import Batch
from pipeline.storage.checkpoints import (
    CARD,
    WEIGHTS,
    build_method,
    load_init,
    load_method,
    read_checkpoint,
    save_checkpoint,
)
from pipeline.storage.sums import FILE as SUMS
from tests.helpers.pages import NEEDED

SMALL = {"backbone": "resnet18", "width": 0.25}
CLASSES = ("cow", "dog")


def small(name: str = "classifier", seed: int = 0, **options: Any) -> Method:
    return build_method(name, len(CLASSES), {**SMALL, **options}, seed)


def save(folder: Path, method: Method, name: str = "classifier", **options: Any) -> Path:
    save_checkpoint(folder, method, recipe={"method": name, "options": {**SMALL, **options}}, class_names=CLASSES)
    return folder


def backbone_of(method: Method) -> dict[str, torch.Tensor]:
    return {k: v for k, v in method.state_dict().items() if k.startswith("backbone.")}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", METHODS)
def test_a_loaded_method_answers_as_the_saved_one(tmp_path: Path, name: str) -> None:
    patches = name in ("clip_es", "dupl", "excel", "toco", "weclip", "weclip_plus")
    options = {"output_stride": 16 if patches else 8, **NEEDED.get(name, {})}
    method = small(name, **options)
    method.backbone.mean.fill_(0.25)
    loaded = load_method(save(tmp_path / "c", method, name, **options))
    assert not loaded.training
    batch = Batch(torch.rand(1, 3, 32, 32), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 32, 32).long())
    with torch.inference_mode():
        assert equal(loaded(batch), method.eval()(batch))


def test_the_same_weights_and_recipe_are_the_same_bytes(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a", small()), save(tmp_path / "deep" / "b", small())
    for file in (WEIGHTS, CARD):
        assert (a / file).read_bytes() == (b / file).read_bytes()
    channels_last = small().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert (save(tmp_path / "c", channels_last) / WEIGHTS).read_bytes() == (a / WEIGHTS).read_bytes()
    assert sorted(p.name for p in a.iterdir()) == [SUMS, CARD, WEIGHTS]
    assert not list(tmp_path.glob(".partial*"))
    assert str(tmp_path) not in (a / CARD).read_text()


def test_the_card_has_all_options_classes_and_the_normalisation(tmp_path: Path) -> None:
    content = json.loads((save(tmp_path / "c", small()) / CARD).read_text())
    assert content["class_names"] == list(CLASSES)
    assert content["options"] == {
        "backbone": "resnet18", "width": 0.25, "output_stride": 16, "freeze_bn": False,
        "frozen_stages": 0, "frozen": False, "dropout": 0.0, "pooling": "gap", "labels": "multi",
    }  # fmt: skip
    assert content["normalisation"]["mean"] == pytest.approx([0.485, 0.456, 0.406])


def test_saving_replaces_an_older_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / "c", small(seed=1))
    (tmp_path / ".partial.c").mkdir()
    method = small(seed=2)
    assert equal(load_method(save(tmp_path / "c", method)).state_dict(), method.state_dict())


def test_building_draws_from_its_seed_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert equal(small(seed=1).state_dict(), small(seed=1).state_dict())
    assert not equal(small(seed=1).state_dict(), small(seed=2).state_dict())
    assert torch.equal(torch.rand(1), expected)


def test_another_page_starts_from_the_backbone_alone(tmp_path: Path) -> None:
    classifier, segmenter = small(seed=1), small("segmenter", seed=2)
    head = segmenter.head.classifier.weight.detach().clone()  # type: ignore[union-attr]
    report = load_init(segmenter, save(tmp_path / "c", classifier), CLASSES)
    assert equal(backbone_of(segmenter), backbone_of(classifier))
    assert torch.equal(segmenter.head.classifier.weight, head)  # type: ignore[union-attr]
    assert set(report.loaded) == set(backbone_of(classifier))
    assert {name.partition(".")[0] for name in report.new} == {"head"}
    assert report.unused == ("head.classifier.weight",)
    assert "1 not used" in str(report)


def test_a_head_is_taken_over_for_the_same_classes_only(tmp_path: Path) -> None:
    source = save(tmp_path / "c", small(seed=1))
    same, other = small(seed=2), small(seed=2)
    load_init(same, source, CLASSES)
    assert equal(same.state_dict(), load_method(source).state_dict())
    report = load_init(other, source, ("cow", "horse"))
    assert report.new == ("head.classifier.weight",)
    assert equal(backbone_of(other), backbone_of(same))
    assert not equal(other.state_dict(), same.state_dict())


def test_the_empty_checkpoint_changes_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "random", None, recipe={"architecture": "random"})
    method = small(seed=3)
    report = load_init(method, tmp_path / "random", CLASSES)
    assert report.loaded == ()
    assert equal(method.state_dict(), small(seed=3).state_dict())
    with pytest.raises(DataError, match="not a trained method"):
        load_method(tmp_path / "random")


def test_another_backbone_is_refused_with_names_and_shapes(tmp_path: Path) -> None:
    source = save(tmp_path / "c", small())
    before = small(width=0.5)
    with pytest.raises(DataError, match=r"another shape: backbone.conv1.weight \(expected \[32, 3, 7, 7\], found \[16"):
        load_init(before, source, CLASSES)
    assert equal(before.state_dict(), small(width=0.5).state_dict())
    with pytest.raises(DataError, match=r"312 of 314 entries missing: backbone.features.0.0.weight"):
        load_init(build_method("classifier", 2, {"backbone": "mobilenet_v2"}), source, CLASSES)


def test_a_method_of_other_classes_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "c", small())
    load_method(folder, CLASSES)
    with pytest.raises(DataError, match=r"expected the classes sheep, found"):
        load_method(folder, ["sheep"])


def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No checkpoint at"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(("keep", "name"), [(0, WEIGHTS), (100, WEIGHTS), (-50, WEIGHTS), (0, CARD), (40, CARD)])
def test_a_truncated_file_is_an_error_with_its_path(tmp_path: Path, keep: int, name: str) -> None:
    path = save(tmp_path / "c", small()) / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=name):
        load_method(tmp_path / "c")


def edit(folder: Path, **changes: object) -> None:
    content = json.loads((folder / CARD).read_text()) | changes
    (folder / CARD).write_text(json.dumps(content))
    (folder / SUMS).unlink(missing_ok=True)  # changed on purpose


def test_another_version_of_the_format_or_the_page_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "c", small())
    edit(folder, options={**SMALL, "temperature": 1.0})
    with pytest.raises(DataError, match=r"no longer takes the options.*temperature"):
        load_method(folder)
    edit(folder, options=SMALL, method="classifer")
    with pytest.raises(DataError, match=r"c: method 'classifer'.*Did you mean 'classifier'"):
        load_method(folder)
    edit(folder, method="classifier", class_names=["cow", "dog", "cat"])
    with pytest.raises(
        DataError, match=r"head.classifier.weight \(expected \[3, 128, 1, 1\], found \[2, 128, 1, 1\]\)"
    ):
        load_method(folder)
    edit(folder, format="weak2mask checkpoint, version 9")
    with pytest.raises(DataError, match="found 'weak2mask checkpoint, version 9'"):
        load_method(folder)


def test_an_add_on_is_kept_beside_its_page_which_loads_alone(tmp_path: Path) -> None:
    wrapped = build_method("seam", 2, SMALL, 1, {"ppc": {"width": 4}, "hfpl": {}})
    folder = save(tmp_path / "c", wrapped, "seam")
    page = load_method(folder)
    assert type(page).__name__ == "Seam"
    batch = Batch(torch.rand(1, 3, 32, 32), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 32, 32).long())
    with torch.inference_mode():
        assert torch.equal(page(batch)["refined"], wrapped.eval()(batch)["refined"])
    assert "add_ons.ppc.projection.weight" in read_checkpoint(folder)[1]
    assert not any("base." in name for name in read_checkpoint(folder)[1])


def test_a_training_with_an_add_on_starts_from_one_with_it_or_without(tmp_path: Path) -> None:
    add_ons = {"ppc": {"width": 4}}
    plain = save(tmp_path / "plain", build_method("seam", 2, SMALL, 1), "seam")
    boosted = save(tmp_path / "boosted", build_method("seam", 2, SMALL, 1, add_ons), "seam")
    method = build_method("seam", 2, SMALL, 2, add_ons)
    assert load_init(method, plain, CLASSES).new == ("add_ons.ppc.projection.weight",)
    assert load_init(method, boosted, CLASSES).new == ()
    assert equal(method.state_dict(), build_method("seam", 2, SMALL, 1, add_ons).state_dict())
    report = load_init(build_method("seam", 2, SMALL, 2), boosted, CLASSES)
    assert report.unused == ("add_ons.ppc.projection.weight",)
