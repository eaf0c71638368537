"""The graph is DVC's, and a plan of it is in an order in which it can run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.errors import ConfigurationError
from pipeline.running.graph import Stage, downstream, nearest_upstream, plan, read_graph
from tests.helpers.tiny_graph import DIAMOND, dvc, project

ROOT = Path(__file__).parents[3]
GRAPH = {
    "code": Stage("code", "dvc.yaml:code"),
    "left": Stage("left", "dvc.yaml:left", frozenset({"code"})),
    "right": Stage("right", "dvc.yaml:right", frozenset({"code"})),
    "join": Stage("join", "dvc.yaml:join", frozenset({"code", "left", "right"})),
    "apart": Stage("apart", "dvc.yaml:apart", frozenset({"code"})),
}


def dag_edges(folder: Path, under: str) -> set[tuple[str, str]]:
    """(stage, what reads from it), as ``dvc dag`` draws them, of the stages whose name begins with ``under``."""
    edges = re.findall(r'"([^"]+)" -> "([^"]+)"', dvc(folder, "dag", "--dot"))
    return {
        (a.removeprefix(under), b.removeprefix(under))
        for a, b in edges
        if b.startswith(under) and (under or ":" not in b)
    }


ON_DEVICE = {"train", "export_cams", "propagate_cams", "predict_masks", "evaluate_boxes"}


@pytest.mark.slow
@pytest.mark.parametrize("book", [".", pytest.param("recipes/voc_mini", marks=pytest.mark.slow)])
def test_the_graph_of_a_book_is_the_one_that_dvc_draws(book: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    dvc_yaml = Path(book) / "dvc.yaml"
    graph = read_graph(dvc_yaml)
    edges = {(above, name) for name, stage in graph.items() for above in stage.upstream}
    assert edges == dag_edges(ROOT, "" if book == "." else f"{dvc_yaml}:")
    assert all(stage.address == f"{dvc_yaml}:{name}" for name, stage in graph.items())
    assert {stage.verb for stage in graph.values() if stage.gpu} == ON_DEVICE & {stage.verb for stage in graph.values()}


def test_meta_and_edges_of_a_small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project(tmp_path, DIAMOND))
    graph = read_graph()
    assert {name: stage.upstream for name, stage in graph.items()} == {n: s.upstream for n, s in GRAPH.items()}
    assert [name for name, stage in graph.items() if stage.gpu] == ["left"]


def test_a_folder_without_dvc_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="project's root"):
        read_graph()


def test_a_plan_holds_the_targets_and_what_they_need_in_order() -> None:
    planned = list(plan(GRAPH, ["left"]))
    assert planned == ["code", "left"]
    everything = list(plan(GRAPH))
    assert set(everything) == set(GRAPH)
    for name in everything:
        assert all(everything.index(above) < everything.index(name) for above in GRAPH[name].upstream)


def test_an_unknown_target_gets_the_closest_one() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'right'"):
        plan(GRAPH, ["rigth"])


def test_a_stage_waits_for_the_nearest_ones_only() -> None:
    assert nearest_upstream(plan(GRAPH)) == {
        "code": [], "left": ["code"], "right": ["code"], "join": ["left", "right"], "apart": ["code"]
    }  # fmt: skip


def test_what_lies_below_a_change() -> None:
    assert downstream(plan(GRAPH), {"left"}) == {"left", "join"}
    assert downstream(plan(GRAPH), {"code"}) == set(GRAPH)
    assert downstream(plan(GRAPH, ["right"]), {"left"}) == set()
