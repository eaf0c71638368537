"""Same inputs, same bytes: every verb again, in other processes, with other numbers of workers and threads."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.binders.common import Log
from pipeline.book.artifacts import VERBS, artifact, kind_of
from pipeline.book.check import check
from pipeline.book.params import Book, load_book
from pipeline.tracking.log import dvc_md5
from tests.test_end_to_end import small_book

ENTRIES = {
    "prepare": "toy",
    "annotate": "tags",
    "import_annotations": "points",
    "import_weights": "random",
    "train": "classifier",
    "export_cams": "cam",
    "refine_cams": "cam_crf",
    "propagate_cams": "walk",
    "make_pseudo_masks": "cam_crf",
    "predict_masks": "full",
    "evaluate": "pseudo_masks",
    "evaluate_boxes": "cam_val",
}
"""One entry of each verb."""


def content() -> dict[str, Any]:
    """The small book on more images than a chunk has, as small as they may be, with every verb in it."""
    found = small_book()
    found["prepare"]["toy"]["options"] = {"seed": 3, "train": 70, "val": 4, "min_size": 32, "max_size": 40}
    for entry in found["train"].values():
        entry["loader"]["crop"] = 32
    found["train"]["full"]["init"] = "random"
    for verb in ("export_cams", "evaluate_boxes"):
        for entry in found[verb].values():
            entry.setdefault("options", {})
    walk = {"data": "toy", "cams": "cam", "checkpoint": "classifier", "options": {"preset": "spml"}}
    found["propagate_cams"] = {"walk": walk}
    points = {"data": "toy", "split": "train", "kind": "points", "file": "points.csv"}
    found["import_annotations"] = {"points": points}
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    """The book, every entry of :data:`ENTRIES` made once, in this process, by one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("determinism"))
        patch.setenv("WEAK2MASK_ENGINE", "here")
        patch.setenv("WEAK2MASK_DEVICE", "cpu")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        Path("pyproject.toml").touch()
        small = content()
        small["prepare"]["toy"]["root"] = "params.yaml"
        Path("params.yaml").write_text(yaml.safe_dump(small, sort_keys=False))
        book = load_book()
        check(book)
        import time
        for verb, name in (("annotate", "masks"), ("annotate", "tags_val"), ("train", "full"), ("export_cams", "cam_val"), *ENTRIES.items()):
            pass
        for verb, name in [("prepare", "toy"), ("annotate", "masks"), ("annotate", "tags_val"), ("annotate", "tags"), ("import_weights", "random"), ("train", "classifier"),("train", "full"), ("export_cams", "cam"), ("export_cams", "cam_val"), ("refine_cams","cam_crf"), ("propagate_cams","walk"),("make_pseudo_masks", "cam_crf"), ("predict_masks","full"), ("evaluate","pseudo_masks"), ("evaluate_boxes","cam_val")]:
            t=time.process_time()
            run(book, verb, name)
            print(verb, name, time.process_time()-t)
        yield book
        torch.set_num_threads(threads)


def run(book: Book, verb: str, name: str) -> None:
    import_module(f"pipeline.binders.{verb}").run(book, name, Log())

def test_x(made): assert 0
