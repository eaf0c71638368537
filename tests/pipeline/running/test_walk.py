"""What of a plan runs, what is left out, and what a failure takes along."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.running.graph import Graph, plan, read_graph
from pipeline.running.plan import Walk
from tests.helpers.tiny_graph import DIAMOND, ENVIRONMENT, project, stage


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])


def walk_through(graph: Graph, force: bool = False) -> Walk:
    """All of the plan, one after another."""
    walk = Walk(graph, force, jobs=1)
    walk.look()
    for name, one in graph.items():
        if not (walk.blocked(name) or walk.unchanged(name)):
            with walk.slots.take(one.gpu) as device:
                walk.run(one, lambda line: None, device)
            if name == "code":
                walk.look()
    return walk


def states(walk: Walk) -> dict[str, str]:
    return {name: outcome.state for name, outcome in walk.outcomes.items()}


def test_only_what_a_change_reaches_gets_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, DIAMOND | {"right": stage("right.txt", "source.txt", "more.txt")})
    (tmp_path / "more.txt").write_text("1\n")
    assert set(states(walk_through(read_graph())).values()) == {"ran"}
    (tmp_path / "more.txt").write_text("2\n")
    started: list[str] = []
    real = Walk.run
    monkeypatch.setattr(Walk, "run", lambda self, one, *rest: started.append(one.name) or real(self, one, *rest))
    walk = walk_through(plan(read_graph(), ["join"]))
    assert started == ["right", "join"]
    assert states(walk) == {"code": "cached", "left": "cached", "right": "ran", "join": "cached"}  # early cut-off
    assert walk.summary() == "3 cached, 1 ran"


def test_a_failure_blocks_what_lies_below_and_nothing_else(tmp_path: Path) -> None:
    stages = DIAMOND | {"left": stage("left.txt", "source.txt", command="echo no light; exit 7")}
    project(tmp_path, stages | {"end": stage("end.txt", "join.txt")})
    walk = walk_through(read_graph())
    assert states(walk) == {
        "code": "ran", "left": "failed", "right": "ran", "apart": "ran", "join": "blocked", "end": "blocked"
    }  # fmt: skip
    for name in ("join", "end"):
        assert walk.outcomes[name].message.startswith("left failed: ")
        assert "no light" in walk.outcomes[name].message
    assert [(name, outcome.code) for name, outcome in walk.failures.items()] == [("left", 7)]
    assert "left failed" in walk.summary()


def test_force_runs_what_has_not_changed(tmp_path: Path) -> None:
    project(tmp_path, {"code": DIAMOND["code"], "apart": DIAMOND["apart"]})
    walk_through(read_graph())
    assert states(walk_through(read_graph(), force=True)) == {"code": "ran", "apart": "ran"}
