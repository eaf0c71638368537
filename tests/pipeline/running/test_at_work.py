"""A second command on a book while a first one makes one of its stages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from models.errors import TransientError
from pipeline.running import at_work as places
from pipeline.running import repro
from pipeline.running.at_work import at_work, being_written, busy_message
from pipeline.running.graph import plan, read_graph
from pipeline.running.stage_process import read_killed, repro_command, under_way
from tests.helpers.tiny_graph import DIAMOND, ENVIRONMENT, dvc, project, stage
from tests.pipeline.running.test_walk import run_plan, states

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])
    return project(tmp_path, DIAMOND)


@pytest.fixture
def first(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Everything was made once; now somebody makes ``left`` again, and takes a while."""
    dvc(folder, "repro", "-q")
    slow = DIAMOND | {"left": stage("left.txt", "source.txt", command="touch begun; sleep 600; true", meta={"gpu": 1})}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": slow}, sort_keys=False))
    process = subprocess.Popen(repro_command(["left"], "-q"), env=ENVIRONMENT, start_new_session=True)
    while not (folder / "begun").is_file():
        time.sleep(0.05)
    yield process
    os.killpg(process.pid, 9)
    process.wait()


def book() -> Any:
    path = SimpleNamespace(path=".", params="params.yaml", targets=[])
    return SimpleNamespace(book=path, prepare={}, entries=lambda: [("right", "x")])


def test_the_stage_and_its_process_are_known(first: subprocess.Popen[bytes]) -> None:
    assert at_work(read_graph()) == {"left": first.pid}
    assert places.stages_made_by(plan(read_graph(), ["right"]), [first.pid]) == {"left.txt": first.pid}
    assert places.stages_made_by(read_graph(), [1]) == {"another stage": 1}
    message = busy_message(at_work(read_graph()))
    assert f"left (process {first.pid})" in message
    assert "rwlock" not in message


def test_locks_of_the_dead_and_half_of_a_file_count_for_nothing(folder: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    places.LOCKS.write_text(json.dumps({"write": {"/a": {"pid": gone.pid}, "/b": {"pid": os.getpid()}}}))
    assert being_written() == {"/b": os.getpid()}
    places.LOCKS.write_text('{"write": {"/a"')
    assert being_written() == {}


def test_a_killed_process_that_nobody_has_asked_about_holds_nothing(folder: Path) -> None:
    """It keeps its id: in a container whose first process never asks, for ever."""
    with subprocess.Popen(repro_command(["apart"], "-q"), env=ENVIRONMENT) as killed:
        killed.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it stays as it is
        dead = {"pid": killed.pid, "cmd": "/x/dvc/__main__.py repro apart"}
        living = {"pid": os.getpid(), "cmd": "pytest"}
        out = str(folder / "left.txt")
        locks = {"write": {out: dead, "/b": living}, "read": {"/c": [dead, living], "/d": [dead]}}
        places.LOCKS.write_text(json.dumps(locks))
        assert being_written() == {"/b": os.getpid()}
        with pytest.raises(subprocess.CalledProcessError):  # DVC alone; else forget_the_dead can go
            dvc(folder, "repro", "-q", "left")
        places.forget_the_dead()
        assert json.loads(places.LOCKS.read_text())["write"] == {"/b": living}
        assert json.loads(places.LOCKS.read_text())["read"] == {"/c": [living]}
        dvc(folder, "repro", "-q", "left")
        for alone in ({"write": {out: dead}}, {"read": {"/d": [dead]}}):  # DVC writes no empty part
            places.LOCKS.write_text(json.dumps(alone))
            places.forget_the_dead()
            assert not any(json.loads(places.LOCKS.read_text()).values())


@pytest.mark.parametrize("left", ["", '{"write": {"/a"', '{"write": {}, "read": {}'])
def test_half_a_list_of_locks_that_a_killed_process_left_is_removed(folder: Path, left: str) -> None:
    """DVC truncates its list and writes it anew; killed in between, it refuses ever after."""
    places.LOCKS.write_text(left)
    with pytest.raises(subprocess.CalledProcessError):  # DVC alone; else remove_broken_locks can go
        dvc(folder, "repro", "-q", "left")
    places.forget_the_dead()
    assert not places.LOCKS.exists()
    dvc(folder, "repro", "-q", "left")


def test_half_a_list_stays_while_another_command_is_at_work(first: subprocess.Popen[bytes]) -> None:
    places.LOCKS.write_text("")
    places.forget_the_dead()
    assert places.LOCKS.read_text() == ""


def test_an_id_that_another_program_has_now_holds_nothing(folder: Path) -> None:
    """In a container that was started again the same ids come again."""
    with subprocess.Popen(["sleep", "600"]) as other:
        info = {"pid": other.pid, "cmd": "/x/pipeline/running/dvc_books.py dvc.yaml repro"}
        assert not places.holds(info)
        assert places.holds(info | {"cmd": "python some.py"})
        other.kill()


def test_what_is_up_to_date_needs_no_lock(first: subprocess.Popen[bytes]) -> None:
    plan_run = run_plan(plan(read_graph(), ["right", "apart"]))
    assert states(plan_run) == {"code": "cached", "right": "cached", "apart": "cached"}
    plan_run = run_plan(plan(read_graph(), ["join"]))
    assert states(plan_run) == {"code": "cached", "right": "cached", "left": "interrupted", "join": "blocked"}
    assert plan_run.outcomes["left"].code == TransientError.exit_code
    assert plan_run.outcomes["left"].message == busy_message({"left": first.pid})
    assert "\n" not in plan_run.outcomes["join"].message
    assert plan_run.summary().count("Wait until") == 1


def test_run_ends_with_one_message(
    first: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repro, "check_targets", lambda *_: None)
    repro.run(book(), ["apart"])
    with pytest.raises(TransientError) as refused:
        repro.run(book(), ["join"])
    assert str(refused.value) == busy_message({"left": first.pid})
    with pytest.raises(TransientError):
        repro.run(book(), ["apart"], force=True)
    message = capfd.readouterr()
    assert message.out + message.err == ""


def test_a_killed_stage_can_be_run_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro, "recording", nullcontext)
    monkeypatch.setattr(repro, "check_targets", lambda *_: None)
    imports = "from pipeline.running.stage_process import under_way\nimport os\n"
    lines = imports + "with under_way('train@x'): os.kill(os.getpid(), 9)"
    (folder / "killed.py").write_text(lines)
    root = Path(repro.__file__).parents[2]
    (folder / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"code": stage("a", command=f"PYTHONPATH={root} {sys.executable} killed.py")}})
    )
    with pytest.raises(TransientError, match=r"train@x was ended by a signal.*run the same command again"):
        repro.run(book(), ["code"])


def test_a_stage_that_ends_by_itself_was_not_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exit_file = tmp_path / "exit_file"
    monkeypatch.setenv("WEAK2MASK_EXIT_FILE", str(exit_file))
    with under_way("train@x"):
        assert read_killed(exit_file) == "train@x"
    assert read_killed(exit_file) is None
