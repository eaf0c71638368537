"""The tasks that Prefect sees: their states, their retries, their causes. On Prefect's own test database."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.compute.bars import CHANNEL
from pipeline.running import flow as flows
from pipeline.running import flow_log
from pipeline.running.graph import Graph, read_graph
from pipeline.running.plan import PlanRun
from pipeline.running.stage_process import repro_command
from tests.helpers.tiny_graph import DIAMOND, ENVIRONMENT, project, stage

pytestmark = pytest.mark.slow


class NoNotes:
    """Stages of shell commands have nothing to show."""

    def of(self, *_: object) -> str:
        return "a note"

    def results(self) -> str:
        return ""


@pytest.fixture(scope="module", autouse=True)
def _database() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])
    monkeypatch.setattr(flows, "run_stage", flows.run_stage.with_options(retry_delay_seconds=0))
    return tmp_path


def run(graph: Graph, **options: Any) -> tuple[PlanRun, dict[str, Any]]:
    """The plan as run, after a flow run, and the last state of each of its tasks."""
    from prefect import flow, get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.runtime import flow_run

    plan_run = PlanRun(graph, **options)

    @flow
    def tiny() -> str:
        flows.run_all(plan_run, NoNotes(), "tiny")  # type: ignore[arg-type]
        return str(flow_run.id)

    ran = FlowRunFilter(id=FlowRunFilterId(any_=[tiny()]))
    with get_client(sync_client=True) as client:
        return plan_run, {task.name: task.state for task in client.read_task_runs(flow_run_filter=ran)}


def test_states_say_what_dvc_did_and_why_a_stage_did_not_run(folder: Path) -> None:
    project(folder, DIAMOND | {"left": stage("left.txt", "source.txt", command="echo no light; exit 7")})
    plan_run, states = run(read_graph(), jobs=2)
    named = {name: state.name for name, state in states.items()}
    assert named == {
        "code": "Completed",
        "left": "Failed",
        "right": "Completed",
        "apart": "Completed",
        "join": "Blocked",
    }
    assert "no light" in states["left"].message
    assert states["join"].is_failed()
    assert states["join"].message.startswith("left failed: ")
    assert [outcome.code for outcome in plan_run.failures.values()] == [7]
    _, states = run(read_graph(), jobs=2)
    assert {states[name].name for name in ("code", "right", "apart")} == {"Cached"}
    (folder / "params.txt").write_text("2\n")
    run(read_graph())
    (folder / "params.txt").write_text("1\n")
    _, states = run(read_graph())
    assert states["code"].name == "Restored"
    _, states = run(read_graph(), forced=["code"])
    assert (states["code"].name, states["right"].name) == ("Completed", "Cached")


def test_only_what_the_machine_ended_is_tried_again(folder: Path) -> None:
    killed = "echo x >> a.count; test -f a.once || { touch a.once; kill -9 $$; }"
    wrong = "echo x >> b.count; echo 3 > $WEAK2MASK_EXIT_FILE; exit 3"
    stages = {"killed": stage("a", "params.txt", command=killed), "wrong": stage("b", "params.txt", command=wrong)}
    project(folder, stages)
    plan_run, states = run(read_graph(), jobs=1)
    assert (states["killed"].name, states["wrong"].name) == ("Completed", "Failed")
    assert len((folder / "a.count").read_text().split()) == 2
    assert len((folder / "b.count").read_text().split()) == 1
    assert list(plan_run.failures) == ["wrong"]


def test_progress_becomes_an_artifact(folder: Path) -> None:
    from prefect import get_client

    line = '::progress {"what": "train", "done": 1, "total": 4}'
    project(folder, {"train": stage("a", "params.txt", command=f"test ${CHANNEL} = lines && echo '{line}'")})
    run(read_graph())
    with get_client(sync_client=True) as client:
        found = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert found["tiny-train-progress"].data == 100.0
    assert found["tiny-train"].data == "a note"


def test_a_refused_run_says_why(folder: Path) -> None:
    state = flows.run_book(book="nowhere", return_state=True)
    assert (state.is_failed(), state.name) == (True, "Refused")
    assert "No recipe book at nowhere" in state.message
    assert state.result(raise_on_failure=False) == 2


def test_a_parameter_of_the_wrong_type_is_named(folder: Path) -> None:
    state = flows.run_book(force="perhaps", return_state=True)
    assert state.is_failed()
    assert "force" in state.message


def test_a_stage_that_another_command_makes_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = stage("left.txt", "source.txt", command="touch begun; sleep 60; true")
    project(folder, DIAMOND)
    run(read_graph())
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": DIAMOND | {"left": slow}}, sort_keys=False))
    first = subprocess.Popen(repro_command(["left"], "-q"), env=ENVIRONMENT, start_new_session=True)
    try:
        while not (folder / "begun").is_file():
            time.sleep(0.05)
        monkeypatch.setattr(flows, "run_stage", flows.run_stage.with_options(retries=1, retry_delay_seconds=0))
        caplog.clear()
        _, states = run(read_graph(), jobs=2)
    finally:
        os.killpg(first.pid, 9)
        first.wait()
    named = {name: state.name for name, state in states.items()}
    cached = dict.fromkeys(("code", "right", "apart"), "Cached")
    assert named == cached | {"left": "Interrupted", "join": "Blocked"}
    assert states["left"].message == f"another command is at work on this book: left (process {first.pid}). " + (
        "What it reads must not change meanwhile."
    )
    assert "NoneType" not in caplog.text
    assert "rwlock" not in caplog.text
    assert caplog.text.count("another command") == 3  # before the new try, at its end, at the stage below


def test_the_last_word_of_a_flow_is_said_once() -> None:
    record = logging.LogRecord("prefect.flow_runs", logging.ERROR, "", 0, "Finished in state Failed('1 ran')", (), None)
    assert flow_log._without_cause(record)
    assert record.getMessage() == "Finished in state Failed"
