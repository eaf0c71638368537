"""What of a plan runs, what is left out, and what a failure takes along."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.running.graph import Graph, plan, read_graph
from pipeline.running.plan import PlanRun
from tests.helpers.tiny_graph import DIAMOND, ENVIRONMENT, project, stage

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])


def run_plan(graph: Graph, force: bool = False) -> PlanRun:
    """All of the plan, one after another."""
    plan_run = PlanRun(graph, force, jobs=1)
    plan_run.look()
    for name, one in graph.items():
        if not (plan_run.blocked(name) or plan_run.unchanged(name)):
            with plan_run.slots.take(one.gpu) as device:
                plan_run.run(one, lambda line: None, device)
            if name == "code":
                plan_run.look()
    return plan_run


def states(plan_run: PlanRun) -> dict[str, str]:
    return {name: outcome.state for name, outcome in plan_run.outcomes.items()}


def test_only_what_a_change_reaches_gets_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, DIAMOND | {"right": stage("right.txt", "source.txt", "more.txt")})
    (tmp_path / "more.txt").write_text("1\n")
    assert set(states(run_plan(read_graph())).values()) == {"ran"}
    (tmp_path / "more.txt").write_text("2\n")
    started: list[str] = []
    real = PlanRun.run
    monkeypatch.setattr(PlanRun, "run", lambda self, one, *rest: started.append(one.name) or real(self, one, *rest))
    plan_run = run_plan(plan(read_graph(), ["join"]))
    assert started == ["right", "join"]
    assert states(plan_run) == {"code": "cached", "left": "cached", "right": "ran", "join": "cached"}  # early cut-off
    assert plan_run.summary() == "3 cached, 1 ran"


def test_a_failure_blocks_what_lies_below_and_nothing_else(tmp_path: Path) -> None:
    stages = DIAMOND | {"left": stage("left.txt", "source.txt", command="echo no light; exit 7")}
    project(tmp_path, stages | {"end": stage("end.txt", "join.txt")})
    plan_run = run_plan(read_graph())
    assert states(plan_run) == {
        "code": "ran", "left": "failed", "right": "ran", "apart": "ran", "join": "blocked", "end": "blocked"
    }  # fmt: skip
    for name in ("join", "end"):
        assert plan_run.outcomes[name].message.startswith("left failed: ")
        assert "no light" in plan_run.outcomes[name].message
    assert [(name, outcome.code) for name, outcome in plan_run.failures.items()] == [("left", 7)]
    assert "left failed" in plan_run.summary()


def test_force_runs_what_has_not_changed(tmp_path: Path) -> None:
    project(tmp_path, {"code": DIAMOND["code"], "apart": DIAMOND["apart"]})
    run_plan(read_graph())
    assert states(run_plan(read_graph(), force=True)) == {"code": "ran", "apart": "ran"}
