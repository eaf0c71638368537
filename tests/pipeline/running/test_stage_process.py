"""One ``dvc repro`` as a child process: how it ended, and its end before its time."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Thread

import pytest

from pipeline.running import stage_process
from pipeline.running.stage_process import (
    StageOutcome,
    StageProcesses,
    changed_stages,
    judge,
    listening,
    read_exit,
    tell_exit,
)
from tests.helpers.tiny_graph import ENVIRONMENT, project, stage

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])
    return tmp_path


def run(name: str, force: bool = False) -> tuple[StageOutcome, list[str]]:
    lines: list[str] = []
    return StageProcesses().run(f"dvc.yaml:{name}", lines.append, {}, force), lines


def test_a_stage_runs_then_is_cached_then_restored(folder: Path) -> None:
    project(folder, {"code": stage("a.txt", "params.txt", command="printf 'half\\rwhole\\n\\n'")})
    outcome, lines = run("code")
    assert outcome.state == "ran"
    assert "whole" in lines
    assert not [line for line in lines if line.startswith("half") or "dvc push" in line or not line]
    outcome, lines = run("code")
    assert (outcome.state, lines) == ("cached", ["Stage 'code' didn't change, skipping"])
    assert changed_stages(["dvc.yaml:code"]) == set()
    (folder / "params.txt").write_text("2\n")
    assert changed_stages(["dvc.yaml:code"]) == {"dvc.yaml:code"}
    assert run("code")[0].state == "ran"
    (folder / "params.txt").write_text("1\n")
    assert run("code")[0].state == "restored"
    assert run("code", force=True)[0].state == "ran"


def test_a_stage_that_writes_much_ran(folder: Path) -> None:
    many = stage_process.KEPT_LINES + 50
    project(folder, {"code": stage("a.txt", "params.txt", command=f"seq {many}")})
    outcome, lines = run("code")
    assert str(many) in lines
    assert outcome.state == "ran"


def test_a_stage_that_fails_says_its_own_code(folder: Path) -> None:
    project(folder, {"code": stage("a.txt", "params.txt", command="echo no luck; exit 7")})
    outcome, _ = run("code")
    assert (outcome.state, outcome.code) == ("failed", 7)
    assert "no luck" in outcome.message


def test_a_stage_of_this_project_tells_code_and_message(folder: Path) -> None:
    project(folder, {"code": {"cmd": "python -m pipeline train cam --book nowhere", "outs": ["a.txt"]}})
    outcome, _ = run("code")
    assert (outcome.state, outcome.code) == ("failed", 2)
    assert outcome.message.startswith("No recipe book at nowhere")


def test_a_killed_stage_is_worth_trying_again(folder: Path) -> None:
    project(folder, {"code": stage("a.txt", "params.txt", command="kill -KILL $$")})
    outcome, _ = run("code")
    assert (outcome.state, outcome.code) == ("interrupted", 137)
    assert "SIGKILL" in outcome.message


@pytest.mark.parametrize(
    ("returncode", "reported", "lines", "state", "code"),
    [
        (0, None, ["Stage 'a' didn't change, skipping"], "cached", 0),
        (0, None, ["Stage 'a' is cached - skipping run, checking out outputs"], "restored", 0),
        (0, None, ["Running stage 'a':"], "ran", 0),
        (255, (2, "wrong name"), [], "failed", 2),
        (255, (3, "bad image"), [], "failed", 3),
        (255, (75, "a worker was killed"), [], "interrupted", 75),
        (255, None, ["ERROR: Unable to acquire lock. Most likely"], "interrupted", 75),
        (255, None, ["ERROR: '/x' is busy, it is being blocked by:"], "interrupted", 75),
        (255, None, ["ERROR: failed to run: train, exited with -9"], "interrupted", 137),
        (255, None, ["ERROR: failed to run: train, exited with 143"], "interrupted", 143),
        (255, None, ["ERROR: failed to run: train, exited with -11"], "failed", 1),
        (255, None, ["ERROR: failed to run: train, exited with 7"], "failed", 7),
        (-9, None, [], "interrupted", 137),
        (255, None, ["ERROR: something else"], "failed", 1),
    ],
)
def test_how_a_stage_ended(
    returncode: int, reported: tuple[int, str] | None, lines: list[str], state: str, code: int
) -> None:
    outcome = judge(returncode, reported, lines)
    assert (outcome.state, outcome.code) == (state, code)


def test_exit_code_and_message_pass_through_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as reported:
        assert read_exit(reported) is None
        monkeypatch.setenv(stage_process.EXIT_FILE, str(reported))
        tell_exit(3, "error: two\nlines")
        assert read_exit(reported) == (3, "two\nlines")
    tell_exit(3, "the run has gone")


def test_stopping_ends_the_whole_tree(folder: Path) -> None:
    child = "sleep 60 & echo $! > child; wait"
    project(folder, {"code": stage("a.txt", "params.txt", command=f"sh -c '{child}'")})
    processes = StageProcesses()
    outcomes: list[StageOutcome] = []
    thread = Thread(target=lambda: outcomes.append(processes.run("dvc.yaml:code", lambda line: None, {})))
    thread.start()
    while not (folder / "child").is_file() or not (folder / "child").read_text().strip():
        time.sleep(0.05)
    processes.stop()
    thread.join(30)
    assert (outcomes[0].state, outcomes[0].code) == ("failed", 143)  # and is not tried again
    assert not _runs(int((folder / "child").read_text()))
    assert processes.run("dvc.yaml:code", lambda line: None, {}).message.startswith("not finished")


def _runs(pid: int) -> bool:
    """A zombie runs no more."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_environment_has_this_interpreter_first() -> None:
    assert stage_process.environment()["PATH"].partition(os.pathsep)[0] == ENVIRONMENT["PATH"].partition(os.pathsep)[0]
