"""The trials of correcting masks are entries of the book, and gains are over the same seeds without corrections."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.label_loop import Trial, rows, sections
from pipeline.book.lineage import ancestors
from tests.helpers import made_book


def test_each_trial_is_a_chain_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    training = {"data": "made", "supervision": "pseudo", "method": "segmenter", "init": "random"}
    plain = {
        "annotate": {"pseudo": {"data": "made", "split": "train", "kind": "masks"}},
        "train": {"net": training},
        **{verb: {} for verb in ("export_cams", "refine_cams", "make_pseudo_masks")},
    }
    book = made_book.book(**plain)
    made_book.make(book, truth=False, stages=("supervision/pseudo",))
    trials = [Trial("none", 0, 1), Trial("random", 2, 1)]
    added = sections(book, trials, Namespace(checkpoint=None, judge="net", go_on=True, epochs=3, crop=96, lr=0.002))
    there = book.model_dump(mode="json", exclude_unset=True)
    both = {verb: {**there.get(verb, {}), **new} for verb, new in added.items()}
    grown = made_book.book(**{**plain, **both})
    before = ancestors(grown, "evaluate", "loop_none_0_1")
    after = ancestors(grown, "evaluate", "loop_random_2_1")
    assert ("import_annotations", "corrected_random_2") in after
    assert not any(verb == "overlay_labels" for verb, _ in before)
    for name in ("loop_none_0_1", "loop_random_2_1"):  # the labels alone differ
        trained = grown.entry("train", name)
        assert (trained.seed, trained.init, trained.loader["crop"]) == (1, "net", 96)
        assert (trained.settings["epochs"], trained.settings["lr"]) == (3, 0.002)


def test_gains_are_over_the_same_seed_without_corrections() -> None:
    trials = [Trial("confidence", 5, 0), Trial("confidence", 5, 1)]
    scores = {trials[0].name: 61.0, trials[1].name: 68.0}
    none, row = rows(trials, {"corrected_confidence_5": 30.0}, scores, {0: 60.0, 1: 65.0})
    assert (none["by"], none["miou"], none["gain"]) == ("none", 62.5, 0.0)
    assert (row["miou"], row["gain"], row["gain_an_hour"], row["minutes"]) == (64.5, 2.0, 4.0, 30.0)
    assert row["gain_deviation"] == 1.41
