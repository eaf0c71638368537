"""The drawings of a chain say the graph, no more and no less."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest

from models.errors import ConfigurationError
from pipeline.book.params import load_book
from pipeline.results.chain.collect import Chain, ChainStage, chain
from pipeline.results.chain.drawing import mermaid, svg, write_drawing
from pipeline.results.chain.lanes import lanes
from pipeline.results.chain.layers import GAP, Layout, lay_out
from pipeline.results.chain.state import State

DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ("d", "a")}
ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def random_graph(seed: int) -> dict[str, tuple[str, ...]]:
    """Names in order, each waiting for some before it; every one but the last is waited for."""
    numbers = random.Random(seed)
    names = [f"n{k}" for k in range(numbers.randint(1, 14))]
    after = {name: set(numbers.sample(names[:k], numbers.randint(0, min(k, 3)))) for k, name in enumerate(names)}
    for k, name in enumerate(names[:-1]):
        if not any(name in above for above in after.values()):
            after[numbers.choice(names[k + 1 :])].add(name)
    return {name: tuple(sorted(above)) for name, above in after.items()}


def read_lanes(names: list[str], rows: list[str]) -> dict[str, set[str]]:
    """The edges that lines of text show: from the signs alone."""
    running: dict[int, str] = {}
    found: dict[str, set[str]] = {}
    for name, row in zip(names, rows, strict=True):
        signs = {column: row[2 * column] for column in range(len(row) // 2)}
        (own,) = [column for column, sign in signs.items() if sign == "●"]
        joined = [column for column, sign in signs.items() if sign in "├┤└┘┼┴"]
        found[name] = {running[column] for column in joined} | ({running[own]} if own in running else set())
        for column in joined:
            reach = row[2 * min(column, own) + 1 : 2 * max(column, own)]
            assert set(reach[::2]) == {"─"}, "joined by a line without a break"
        down = {column for column, sign in signs.items() if sign in "│├┤┼"}
        assert down | set(joined) == set(running) - {own}, "nothing that runs down breaks off"
        running = {column: running[column] for column in down} | {own: name}
    return found


def test_lanes_of_a_diamond() -> None:
    assert lanes(DIAMOND) == [
        "●    ",
        "├─●  ",
        "├─│─●",
        "│ ●─┘",
        "●─┘  ",
    ]


@pytest.mark.parametrize("seed", range(60))
def test_lanes_show_the_edges_and_no_others(seed: int) -> None:
    after = random_graph(seed)
    assert read_lanes(list(after), [f"{row} " for row in lanes(after)]) == {n: set(above) for n, above in after.items()}


def overlaps(layout: Layout, widths: dict[str, float]) -> list[tuple[str, str]]:
    boxes = sorted((row, x, name) for name, (x, row) in layout.centres.items())
    return [
        (a, b)
        for (r, x, a), (s, y, b) in pairwise(boxes)
        if r == s and y - x < (widths[a] + widths[b]) / 2 + GAP - 1e-6
    ]


@pytest.mark.parametrize("seed", range(60))
def test_boxes_stand_apart_and_edges_run_down_between_them(seed: int) -> None:
    after = random_graph(seed)
    widths = {name: 60.0 + 17 * (k % 5) for k, name in enumerate(after)}
    layout = lay_out(after, widths)
    assert overlaps(layout, widths) == []
    ends = sorted((points[0], points[-1]) for points in layout.edges)
    assert ends == sorted(
        (layout.centres[source], layout.centres[reader]) for reader, above in after.items() for source in above
    )
    for points in layout.edges:
        assert [row for _, row in points] == list(range(points[0][1], points[-1][1] + 1))
        for x, row in points[1:-1]:
            for name, (middle, at) in layout.centres.items():
                assert at != row or abs(middle - x) > widths[name] / 2
    for name, (x, _) in layout.centres.items():
        assert widths[name] / 2 - 1e-6 <= x <= layout.width - widths[name] / 2 + 1e-6
    assert lay_out(after, widths) == layout


def test_a_single_line_is_straight() -> None:
    after = {"a": (), "b": ("a",), "c": ("b",)}
    layout = lay_out(after, {"a": 50.0, "b": 120.0, "c": 80.0})
    assert {round(x, 3) for x, _ in layout.centres.values()} == {60.0}
    assert layout.width == pytest.approx(120.0)


def made(after: dict[str, tuple[str, ...]]) -> Chain:
    stages = [
        ChainStage(name, f"method <{name}> & co", None, (), (), (), False, State("not known"), "", None, above)
        for name, above in after.items()
    ]
    return Chain("params.yaml", stages[-1].stage, tuple(stages))


CHAIN = made({"prepare@toy": (), "train@net": ("prepare@toy",), "evaluate@net": ("train@net", "prepare@toy")})


def test_svg_has_a_box_for_each_stage_and_a_path_for_each_edge() -> None:
    root = ElementTree.fromstring(svg(CHAIN))
    names = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "name"]
    parts = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "component"]
    assert names == ["toy", "net", "net"]
    assert parts[1] == "train: method <train@net> & co"
    assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "edge"]) == 3
    assert "prefers-color-scheme: dark" in svg(CHAIN)


def test_the_picture_of_the_docs_is_that_of_the_root_book(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by: python -m pipeline show segmenter_val --graph docs/chain.svg."""
    monkeypatch.chdir(ROOT)
    found = chain(load_book(), ("evaluate", "segmenter_val"), {})
    assert (ROOT / "docs" / "chain.svg").read_text(encoding="utf-8") == svg(found)


def test_mermaid_has_the_same_edges() -> None:
    lines = mermaid(CHAIN).splitlines()
    assert lines[0] == "flowchart TD"
    assert lines[1] == '  n0["prepare@toy<br/>method &lt;prepare@toy&gt; &amp; co"]'
    assert lines[4:] == ["  n0 --> n1", "  n1 --> n2", "  n0 --> n2"]


def test_the_suffix_says_how_to_draw(tmp_path: Path) -> None:
    write_drawing(CHAIN, tmp_path / "chain.svg")
    write_drawing(CHAIN, tmp_path / "chain.mmd")
    assert (tmp_path / "chain.svg").read_text() == svg(CHAIN)
    assert (tmp_path / "chain.mmd").read_text() == mermaid(CHAIN)
    with pytest.raises(ConfigurationError, match=r"ends in \.svg or \.mmd"):
        write_drawing(CHAIN, tmp_path / "chain.png")
    with pytest.raises(ConfigurationError, match="there is no folder"):
        write_drawing(CHAIN, tmp_path / "gone" / "chain.svg")
