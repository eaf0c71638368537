"""Published seconds of a label: the sums that Bearman et al. 2016 print for VOC."""

from __future__ import annotations

import pytest

from models.metrics.label_cost import label_seconds, mixture_seconds


@pytest.mark.parametrize(
    ("kinds", "seconds"),
    [(["tags"], 20.0), (["points"], 22.1), (["scribbles", "tags"], 34.9), (["boxes"], 38.1), (["masks"], 239.7)],
)
def test_an_image_of_voc_takes_what_was_published(kinds: list[str], seconds: float) -> None:
    assert label_seconds(kinds, classes=20, present=1.5) == pytest.approx(seconds, abs=0.06)


def test_kinds_add_their_marks_and_ask_for_classes_once() -> None:
    both = label_seconds(["points", "boxes"], 20, 1.5)
    assert both == pytest.approx(label_seconds(["points"], 20, 1.5) + label_seconds(["boxes"], 20, 1.5) - 18.5)
    assert label_seconds(["masks"], 6, 0) == 6


def test_a_mixture_costs_the_mean_of_its_parts() -> None:
    assert mixture_seconds({"tags": 0.75, "points": 0.25}, 20, 1.5) == pytest.approx(0.75 * 20 + 0.25 * 22.1)


def test_a_kind_that_nobody_timed_is_refused() -> None:
    with pytest.raises(KeyError, match="extreme"):
        label_seconds(["extreme"], 20, 1.5)
