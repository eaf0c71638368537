"""Images that are worth correcting: measured, listed, exported, and taken back as labels of the book."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from models.errors import ConfigurationError, DataError
from models.structures import UNLABELLED, Supervision
from pipeline.binders.common import header
from pipeline.book.artifacts import artifact
from pipeline.book.lineage import ancestors
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.inference.label_loop import choose, disagreement, mask_of
from pipeline.inference.rounds import Trained, entries_to_add, segmenter_of
from pipeline.storage.checkpoints import build_method, save_checkpoint
from pipeline.storage.stores import SupervisionStore
from tests.helpers import made_book

SMALL = {"backbone": "resnet18", "width": 0.25, "output_stride": 8, "head_width": 8}
TRAIN = {"data": "made", "method": "segmenter", "init": "random", "model": SMALL}


def book(supervision: str = "pseudo", **sections: Any) -> Book:
    given = {
        "import_weights": {"random": {"architecture": "random", "file": "params.yaml"}},
        "train": {"net": TRAIN | {"supervision": supervision}},
        "annotate": {"pseudo": {"data": "made", "split": "train", "kind": "masks"}},
        **{verb: {} for verb in ("export_cams", "refine_cams", "make_pseudo_masks", "evaluate")},
    }
    return made_book.book(**(given | sections))


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """The made book, and a segmenter that has learnt nothing but says something."""
    monkeypatch.chdir(tmp_path)
    catalogue = made_book.make(book(), truth=False, stages=("supervision/pseudo",))
    method: Any = build_method("segmenter", catalogue.num_classes, SMALL, seed=1)
    torch.nn.init.normal_(method.head.classifier.weight, generator=torch.Generator().manual_seed(2))
    folder = artifact(book().book.work, "checkpoints", "net")
    save_checkpoint(folder, method, recipe={"method": "segmenter", "options": SMALL}, class_names=catalogue.class_names)
    return catalogue


def listed(out: Path) -> list[dict[str, str]]:
    with (out / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("by", "key"), [("confidence", "confidence"), ("disagreement", "disagreement")])
def test_the_images_with_most_to_gain_come_first(catalogue: Catalogue, by: Any, key: str, tmp_path: Path) -> None:
    everything = choose(book(), tmp_path / "all", by=by, count=9, tool="labelstudio")
    chosen = choose(book(), tmp_path / "out", by=by, count=2, tool="cvat")
    assert [one.id for one in chosen.images] == [one.id for one in everything.images][:2]
    assert (chosen.of, chosen.corrected) == (4, 0)
    numbers = [float(row[key]) for row in listed(tmp_path / "all")]
    assert numbers == sorted(numbers, reverse=by == "disagreement")
    assert len(set(numbers)) > 1
    labels = SupervisionStore(artifact("work/made", "supervision", "pseudo"))
    for one, row in zip(chosen.images, listed(tmp_path / "out"), strict=True):
        assert row["image"] == one.id
        assert (tmp_path / "out" / "images" / row["file"]).read_bytes() == one.result.input.path.read_bytes()
        expected = disagreement(mask_of(one.result), labels[one.id].seeds)
        assert expected is not None
        assert float(row["disagreement"]) == pytest.approx(expected, abs=1e-4)
        shown = set(np.unique(mask_of(one.result)).tolist()) - {0}
        assert shown <= set(catalogue.entry(one.id).tags or ()), "tags are known"
    assert (tmp_path / "out" / "cvat" / "annotations.xml").is_file()


def test_disagreement_is_one_minus_miou_of_the_pixels_that_say_something() -> None:
    mask = np.array([[0, 1, 1, 2, 2]], np.uint8)
    assert disagreement(mask, mask) == 0
    assert disagreement(mask, np.array([[0, 1, 0, 254, 255]], np.uint8)) == pytest.approx(1 - (1 / 2 + 1 / 2) / 2)
    assert disagreement(mask, np.full((1, 5), 254, np.uint8)) is None


def test_corrected_images_are_left_out_and_the_next_round_has_names_of_its_own(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    first = choose(book(), tmp_path / "first", by="random", count=1, tool="labelme")
    sections = entries_to_add(first.segmenter, "corrected.xml")["corrected"]
    assert list(sections["train"]) == ["net_corrected"]
    assert sections["predict_masks"]["net_corrected"]["checkpoint"] == "net_corrected"
    assert yaml.safe_load((tmp_path / "first" / "entries.yaml").read_text()) == {
        "corrected": {
            **sections,
            "import_annotations": {
                "corrected": {**sections["import_annotations"]["corrected"], "file": f"{tmp_path}/first/corrected"}
            },
        }
    }
    both = {verb: {**getattr(book(), verb), **added} for verb, added in sections.items()}
    below = ancestors(book(**both), "predict_masks", "net_corrected")
    assert {("import_annotations", "corrected"), ("annotate", "pseudo")} <= set(below)
    ids, (done,) = catalogue.ids("train"), (one.id for one in first.images)
    for name in ("corrected", "with_corrected"):
        writer = SupervisionStore.create(artifact("work/made", "supervision", name), header(catalogue, ids))
        seeds = {id: np.full(made_book.SIZE, 1 if id == done else UNLABELLED, np.uint8) for id in ids}
        writer.write(0, [Supervision(np.array([id == done, False]), seeds[id]) for id in ids])
        writer.finish()
    after = book("with_corrected", **{verb: both[verb] for verb in ("import_annotations", "overlay_labels")})
    second = choose(after, tmp_path / "second", by="random", count=9, tool="labelme")
    assert (second.of, second.corrected) == (3, 1)
    assert done not in [one.id for one in second.images]
    again = entries_to_add(second.segmenter, "second.xml")["corrected_2"]
    assert list(again["overlay_labels"]) == ["with_corrected_2"]
    assert list(again["train"]) == ["net_2"]
    assert again["overlay_labels"]["with_corrected_2"]["supervision"] == "with_corrected"


def test_each_round_has_a_name_and_the_seed_stays_in_it(catalogue: Catalogue) -> None:
    for name in ("one", "two"):
        shutil.copytree("work/made/supervision/pseudo", f"work/made/supervision/{name}")

    def named(training: str, *overlays: str) -> list[str]:
        names = ["pseudo", *overlays]
        sections = {
            "train": {training: TRAIN | {"supervision": names[-1]}},
            "overlay_labels": {
                above: {"data": "made", "supervision": below, "over": "pseudo"}
                for below, above in zip(names, overlays, strict=False)
            },
        }
        return list(entries_to_add(Trained(book(**sections), training), "file.xml").popitem()[1]["train"])

    assert named("net_0") == ["net_0_corrected"]
    assert named("net_1") == ["net_1_corrected"]
    assert named("net_1_corrected", "one") == ["net_1_corrected_2"]
    assert named("net_1_corrected_2", "one", "two") == ["net_1_corrected_3"]


def test_what_cannot_be_chosen_from_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="1 image or more, found 0"):
        choose(book(), tmp_path / "out", by="random", count=0, tool="cvat")
    with pytest.raises(ConfigurationError, match="trains no 'nett'"):
        choose(book(), tmp_path / "out", by="random", count=1, tool="cvat", checkpoint="nett")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(DataError, match="not empty"):
        choose(book(), tmp_path / "full", by="random", count=1, tool="cvat")
    with pytest.raises(ConfigurationError, match="--checkpoint"):
        segmenter_of(book(predict_masks={}), None)
