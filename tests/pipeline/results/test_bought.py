"""What labels buy: which rows have a price, which of them no cheaper one beats, and their plot."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.results.report.plots import price_points
from pipeline.results.tables.bought import Bought, bought, frontier
from pipeline.results.tables.rows import Number, PaperRow, PaperTable, Repeats


def number(name: str, miou: float, minutes: float | None, of: str = "masks/x", split: str = "val") -> Number:
    cost = minutes and {"kinds": ["tags"], "images": 3, "minutes": minutes}
    return Number(name, {"miou": miou}, (), {"of": of, "data": "d", "split": split, "label_cost": cost or None})


def table(rows: dict[str, Number], *repeats: Repeats) -> PaperTable:
    recipes = tuple(PaperRow(name, name, {}, {"val": each}) for name, each in rows.items())
    return PaperTable("b", "B", "d", recipes, {}, {}, None, (), (), repeats)


def test_seeds_are_one_row_and_not_shown_again() -> None:
    one, two = number("one", 50, 10), number("two", 54, 10)
    found = bought(table({"first": one, "dear": number("dear", 60, 90)}, Repeats("r", "R", (one, two), 5)))
    assert found == (Bought("R", ("tags",), 10, 52, pytest.approx(8**0.5), 2), Bought("dear", ("tags",), 90, 60))


@pytest.mark.parametrize("of", ["cams/x", "supervision/x"])
def test_only_predictions_have_a_price(of: str) -> None:
    labelled = number("labelled", 50, 10, of)
    assert bought(table({"row": labelled}, Repeats("r", "R", (labelled,), 1))) == ()


def test_rows_of_unknown_cost_are_left_out() -> None:
    free = number("free", 50, None)
    assert bought(table({"row": free}, Repeats("r", "R", (number("one", 50, 10), free), 2))) == ()


def test_rows_of_another_split_are_left_out() -> None:
    rows = {"a": number("a", 50, 10), "train": number("t", 80, 5, split="train"), "b": number("b", 60, 90)}
    assert [row.label for row in bought(table(rows))] == ["a", "b"]


def test_the_frontier_is_what_no_cheaper_row_beats() -> None:
    rows = tuple(
        Bought(f"{minutes}", (), minutes, miou) for minutes, miou in ((1, 40), (1, 45), (2, 44), (5, 50), (9, 50))
    )
    assert [(row.minutes, row.miou) for row in frontier(rows)] == [(1, 45), (5, 50)]


def test_one_price_is_no_plot() -> None:
    assert price_points((Bought("a", ("tags",), 10, 40), Bought("b", ("tags",), 10, 50))) is None
    assert price_points(()) is None


@pytest.mark.parametrize(
    ("prices", "ticks"), [((3527.2, 3897), [3527.2, 3897]), ((47, 1588), [50, 100, 200, 500, 1000])]
)
def test_the_axis_has_two_numbers_at_least(prices: tuple[float, float], ticks: list[float]) -> None:
    figure: Any = price_points([Bought("a", ("tags",), prices[0], 40), Bought("b", ("tags",), prices[1], 50)])
    assert list(figure["layout"]["xaxis"]["tickvals"]) == ticks


def test_the_plot_has_a_colour_for_each_kind_and_the_names_are_no_markup() -> None:
    rows = (Bought("A <b>", ("tags",), 10, 40), Bought("B", ("masks", "tags"), 90, 60, 1.25, 3))
    figure: Any = price_points(rows)
    line, tags, masks = figure["data"]
    assert (line["mode"], list(line["x"]), list(line["y"])) == ("lines+text", [10, 90], [40, 60])
    assert [name.strip() for name in line["text"]] == ["A &lt;b&gt;", "B"]
    assert (tags["name"], list(tags["text"])) == ("tags", ["A &lt;b&gt;<br>10 minutes: 40.0"])
    assert (masks["name"], list(masks["text"])) == ("masks + tags", ["B<br>90 minutes: 60.0 ± 1.2 (3 seeds)"])
    assert list(masks["error_y"]["array"]) == [1.25]
    assert figure["layout"]["xaxis"]["type"] == "log"
