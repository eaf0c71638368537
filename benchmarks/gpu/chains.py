"""voc_mini's main chain, and RTC, from images to the score, one seed after another while there is time."""

from __future__ import annotations

import json
import os
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from benchmarks.gpu.parts import Given

BOOKS = {
    "recipes/voc_mini": ("cam", "walk", "segmenter_val"),
    "recipes/voc_mini_rtc": ("rtc_0", "rtc_0_val"),
}
"""Evaluations of each book that are made."""
SEEDS = range(5)
NEEDED = ("WEAK2MASK_VOC_MINI", "WEAK2MASK_WEIGHTS")


def run(given: Given) -> None:
    """A row for each seed and book: the scores of its targets, and the seconds of the whole chain."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        given.keep({"left out": f"set {' and '.join(missing)} (docs/reference/environment.md)"})
        return
    os.environ["WEAK2MASK_TRACKING"] = "off"
    root, longest = Path.cwd(), 0.0
    for seed in SEEDS:
        for path, targets in BOOKS.items():
            if not given.has(longest):
                given.keep({"left out from here on": {"book": path, "seed": seed}})
                return
            with tempfile.TemporaryDirectory() as folder:
                begin = time.monotonic()
                scores = _scores(root / path, Path(folder), targets, seed, given.tiny)
                os.chdir(root)
                longest = max(longest, time.monotonic() - begin)
                given.keep({"book": path, "seed": seed, "seconds": round(time.monotonic() - begin, 1), "miou": scores})


def _scores(path: Path, folder: Path, targets: tuple[str, ...], seed: int, tiny: bool) -> dict[str, float]:
    """mIoU of each evaluation that is asked for, all trainings with the seed, everything made in ``folder``."""
    from pipeline.binders.common import Log
    from pipeline.book.check import check
    from pipeline.book.lineage import ancestors
    from pipeline.book.params import load_book

    content: dict[str, Any] = yaml.safe_load((path / "params.yaml").read_text(encoding="utf-8"))
    for place, variable in content["book"].get("sources", {}).items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).symlink_to(os.environ[variable])
    work = f"work_{path.name}_{seed}"  # what is open already is known by its path
    content["book"] = {"root": ".", "path": ".", "params": "params.yaml", "work": work}
    for entry in content["train"].values():
        entry["seed"] = seed
        if tiny:
            entry["settings"] = {"steps": 1}
    content["table"] = {}
    os.chdir(folder)
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    book = load_book()
    check(book)
    done: set[tuple[str, str]] = set()
    for target in targets:
        for node in ancestors(book, "evaluate", target):
            if node not in done:
                import_module(f"pipeline.binders.{node[0]}").run(book, node[1], Log())
                done.add(node)
    files = {target: Path(work, "evaluations", target, "metrics.json") for target in targets}
    return {target: json.loads(file.read_text(encoding="utf-8"))["miou"] for target, file in files.items()}
