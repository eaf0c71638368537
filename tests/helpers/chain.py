"""A whole book over the toy data set, run stage by stage in this process, and the scores that its chains must have."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.binders.common import Log
from pipeline.book.check import check
from pipeline.book.lineage import ancestors
from pipeline.book.params import Book, load_book

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "chain_scores.json"
"""mIoU of the evaluations, by test module; ``UPDATE_GOLDEN=1 pytest FILE`` writes those of a module anew."""
WITHIN = 3.0
"""Points by which a score may differ from one processor to another."""


@dataclass
class Chain:
    """A checked book and the entries of it that have run."""

    module: str
    book: Book
    done: set[tuple[str, str]] = field(default_factory=set)

    @property
    def work(self) -> Path:
        return Path(self.book.book.work)

    def run(self, verb: str, name: str) -> None:
        """Run an entry and all that it stands on, each once."""
        for node in ancestors(self.book, verb, name):
            if node not in self.done:
                import_module(f"pipeline.binders.{node[0]}").run(self.book, node[1], Log())
                self.done.add(node)

    def evaluated(self, name: str) -> dict[str, Any]:
        """The metrics of an evaluation, whose mIoU is what it was when it was written down."""
        self.run("evaluate", name)
        metrics: dict[str, Any] = json.loads((self.work / "evaluations" / name / "metrics.json").read_text())
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
        scores = golden.setdefault(self.module, {})
        if os.environ.get("UPDATE_GOLDEN"):
            scores[name] = round(metrics["miou"], 2)
            GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
        assert metrics["miou"] == pytest.approx(scores[name], abs=WITHIN), name
        return metrics


def root_content() -> dict[str, Any]:
    """The root book's, without its table, its targets and boxes, on a few small pictures."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    found["prepare"]["toy"]["root"] = "params.yaml"
    found["prepare"]["toy"]["options"] = {"seed": 3, "train": 6, "val": 2, "min_size": 64, "max_size": 72}
    found["table"], found["book"]["targets"], found["evaluate_boxes"] = {}, [], {}
    return found


def chain_in(folder: Path, module: str, content: dict[str, Any]) -> Iterator[Chain]:
    """For a fixture: the book lies in ``folder``, which is the working folder as long as the fixture lives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WEAK2MASK_ENGINE", "here")
        Path("params.yaml").write_text(yaml.safe_dump(content))
        made = load_book()
        check(made)
        yield Chain(module, made)
