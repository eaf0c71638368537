from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from models.errors import ConfigurationError, DataError, Weak2MaskError
from pipeline.compute.machine import machine_kind
from pipeline.tracking import log as tracking
from pipeline.tracking import recording
from pipeline.tracking.recorder import connect, record
from pipeline.tracking.runs import RunFinder, find_runs
from pipeline.tracking.stores import LocalStore, ServedStore, open_store

pytestmark = pytest.mark.slow

STAGES = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pipeline.tracking import log as tracking

name = sys.argv[1]
settings = {"method": "cam", "loader": {"crop": 128, "scales": [0.5, 1.0]}, "note": "x" * 9000}
with tracking.run(f"train@{name}", "toy", settings, [Path("work/out_" + name)]) as log:
    for step in range(450):
        log.metrics({"loss": 1 / (step + 1), "iou/tv(monitor)": 0.5}, step)
    log.picture("overlays/a.png", np.full((4, 5, 3), 7, np.uint8))
    log.tags({"device": "cpu"})
    if name == "fails":
        raise ZeroDivisionError("nan")
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    Path("work").mkdir(exist_ok=True)
    Path("work/out_" + name).write_text(name)
"""


def environment(folder: Path, **extra: str) -> dict[str, str]:
    hidden = ("WEAK2MASK_TRACKING", "WEAK2MASK_RECORDER", "DVC_STAGE", "RANK", "LOCAL_RANK", "NODE_RANK")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    root = str(Path(tracking.__file__).parents[2])
    return kept | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": root} | extra


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def ended(project: Path) -> dict[str, tuple[int, str]]:
    """Three stages that open the same new store at once: one ends well, one fails, one is killed."""
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", STAGES, name],
            cwd=project,
            env=environment(project),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("good", "fails", "killed")
    }
    output = {name: process.communicate(timeout=120)[0] for name, process in started.items()}
    return {name: (process.returncode, output[name]) for name, process in started.items()}


@pytest.fixture
def runs(project: Path, ended: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    client = connect()
    experiment = client.get_experiment_by_name("toy")
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_stages_end_as_they_would_without_mlflow(ended: dict[str, tuple[int, str]]) -> None:
    assert {name: code for name, (code, _) in ended.items()} == {"good": 0, "fails": 1, "killed": -signal.SIGKILL}
    assert ended["good"][1] == ""
    assert ended["killed"][1] == ""
    assert "ZeroDivisionError: nan" in ended["fails"][1]


def test_each_stage_is_one_run_with_its_ending(runs: dict[str, Any]) -> None:
    endings = {name: run.info.status for name, run in runs.items()}
    assert endings == {"train@good": "FINISHED", "train@fails": "FAILED", "train@killed": "KILLED"}


def test_a_run_holds_all_that_was_told(runs: dict[str, Any], project: Path) -> None:
    for run in runs.values():
        parameters = dict(run.data.params)
        assert len(parameters.pop("note")) == 6000
        assert parameters == {"method": "cam", "loader.crop": "128", "loader.scales": "[0.5, 1.0]"}
        assert run.data.tags["device"] == "cpu"
        assert run.data.tags["dvc.stage"] == run.info.run_name
        assert run.data.tags["machine"] == machine_kind()
        history = connect().get_metric_history(run.info.run_id, "loss")
        assert [(entry.step, entry.value) for entry in history] == [(step, 1 / (step + 1)) for step in range(450)]
        assert run.data.metrics["iou/tv_monitor_"] == 0.5
        picture = connect().list_artifacts(run.info.run_id, "overlays")
        assert [item.path for item in picture] == ["overlays/a.png"]
    assert (project / "mlruns" / "toy").is_dir()


def test_a_restored_output_leads_to_its_run(runs: dict[str, Any], project: Path, tmp_path: Path) -> None:
    def lock(md5: str) -> Path:
        path = tmp_path / "dvc.lock"
        outs = [{"path": "work/out_good", "md5": md5}]
        path.write_text(yaml.safe_dump({"stages": {"train@good": {"cmd": "x", "outs": outs}}}))
        return path

    made = tracking.dvc_md5(project / "work" / "out_good")
    assert [(found.stage, found.output, found.md5, found.run_id) for found in find_runs(lock(made))] == [
        ("train@good", "work/out_good", made, runs["train@good"].info.run_id)
    ]
    circumstances = find_runs(lock(made))[0].circumstances
    assert circumstances is not None
    assert circumstances.machine == machine_kind()
    assert 0 < (circumstances.seconds or 0) < 120
    assert find_runs(lock("0" * 32))[0].run_id is None
    with pytest.raises(DataError, match="dvc repro"):
        find_runs(tmp_path / "none.lock")


def test_a_run_that_made_only_one_of_the_outputs_is_not_the_one(
    runs: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two evaluations the metrics differ, and a table that is empty in both is equal."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/sweep.csv").write_text("")
    lines = stage_messages("evaluate@sweep").getvalue().replace('"outputs": []', '"outputs": ["out"]')
    found = []
    for miou in ("1", "2", "3"):
        Path("out/metrics.json").write_text(miou)
        if miou != "3":
            assert record(io.StringIO(lines))
        outs = [
            {"path": f"out/{name}", "md5": tracking.dvc_md5(Path("out", name))}
            for name in ("sweep.csv", "metrics.json")
        ]
        found.append(RunFinder().find("evaluate@sweep", outs).run_id)
    first, second, third = found
    assert None not in (first, second)
    assert first != second
    assert third is None


def test_a_local_store_is_read_as_mlflow_reads_it(runs: dict[str, Any], project: Path) -> None:
    local, served = open_store(), ServedStore()
    assert isinstance(local, LocalStore)
    tags = [("dvc.stage", name) for name in runs]
    tags += [("machine", machine_kind()), ("machine", "another"), ("dvc.out.work/out_good", "0")]
    for tag, value in tags:
        assert local.tagged(tag, value, 2) == served.tagged(tag, value, 2)
    assert len(local.tagged("machine", machine_kind(), 200)) >= 3
    assert len(local.tagged("machine", machine_kind(), 2)) == 2
    before = (project / "mlflow.db").stat().st_mtime_ns
    local.tagged("machine", machine_kind(), 2)
    assert (project / "mlflow.db").stat().st_mtime_ns == before


def test_a_run_that_was_deleted_is_not_found(runs: dict[str, Any]) -> None:
    client, good = connect(), runs["train@good"].info.run_id
    client.delete_run(good)
    try:
        assert open_store().tagged("dvc.stage", "train@good", 9) == []
    finally:
        client.restore_run(good)
    assert [run.id for run in open_store().tagged("dvc.stage", "train@good", 9)] == [good]


def test_a_file_without_tables_is_left_to_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new.db")
    store = open_store()
    assert isinstance(store, ServedStore)
    assert store.tagged("machine", machine_kind(), 2) == []


def test_a_store_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.lock").write_text("stages: {}")
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/runs.db")
    with pytest.raises(Weak2MaskError, match=r"file/runs\.db does not answer"):
        find_runs(tmp_path / "dvc.lock")


def test_what_is_recorded_is_committed_as(tmp_path: Path, runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    locks = [tmp_path / "dvc.lock", tmp_path / "recipes" / "dvc.lock"]
    locks[1].parent.mkdir()
    for path in (tmp_path / "file", *locks):
        path.write_text("a")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    monkeypatch.chdir(tmp_path)
    for path in locks:
        path.write_text("what DVC writes after each stage")
    for stage, dirty in (("evaluate@a", "false"), ("evaluate@b", "true")):
        assert record(stage_messages(stage))
        (run,) = connect().search_runs(["1"], f"attributes.run_name = '{stage}'")
        assert (run.data.tags["mlflow.source.git.commit"], run.data.tags["git.dirty"]) == (commit, dirty)
        (tmp_path / "file").write_text("b")


def stage_messages(stage: str) -> io.StringIO:
    events = [
        {"event": "start", "name": stage, "book": "toy", "parameters": {}, "tags": {}, "time": 1},
        {"event": "metrics", "values": {"loss": 1.0}, "step": 0, "time": 1},
        {"event": "end", "status": "FINISHED", "outputs": []},
    ]
    return io.StringIO("".join(json.dumps(event) + "\n" for event in events))


def test_stages_share_a_recorder(
    runs: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    for name in ("WEAK2MASK_TRACKING", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(recording, "OwnRecorder", lambda: pytest.fail("a second recorder was started"))
    with recording.shared_recorder():
        with tracking.run("annotate@shared", "toy", {"kind": "tags"}) as log:
            log.metrics({"images": 3})
        first = connect().search_runs(["1"], "attributes.run_name = 'annotate@shared'")
        with pytest.raises(ZeroDivisionError), tracking.run("train@shared", "toy", {}):
            raise ZeroDivisionError
        killed = subprocess.Popen([sys.executable, "-c", STAGES, "killed"], cwd=project, env=os.environ)
        killed.wait(60)
    assert [(run.info.status, run.data.metrics, run.data.params) for run in first] == [
        ("FINISHED", {"images": 3}, {"kind": "tags"})
    ]
    (second,) = connect().search_runs(["1"], "attributes.run_name = 'train@shared'")
    assert second.info.status == "FAILED"
    endings = [run.info.status for run in connect().search_runs(["1"], "attributes.run_name = 'train@killed'")]
    assert endings == ["KILLED", "KILLED"]
    assert recording.SHARED not in os.environ
    assert capfd.readouterr() == ("", "")


def test_a_recorder_starts_without_what_it_does_not_need() -> None:
    code = (
        "import runpy, sys; runpy.run_module('pipeline.tracking.recorder', run_name='__main__')\n"
        "from mlflow.tracking import MlflowClient\n"
        "from pipeline.tracking.recorder import UNUSED\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] in UNUSED and sys.modules[name]]"
    )
    done = subprocess.run([sys.executable, "-c", code], input="", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_shared_recorder_that_has_gone_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(recording.SHARED, str(tmp_path / "socket"))
    recorder_here = object()
    monkeypatch.setattr(recording, "OwnRecorder", lambda: recorder_here)
    assert recording.open_channel() is recorder_here


def test_an_unreachable_server_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    output = io.StringIO()
    assert not record(stage_messages("train@a"), output)
    assert output.getvalue().startswith("warning: MLflow at http://127.0.0.1:9 does not record this run: ")
    assert output.getvalue().count("\n") == 1


def test_names_that_mlflow_writes_alike_stay_apart(runs: Any) -> None:
    lines = [
        {
            "event": "start",
            "name": "train@c",
            "book": "toy",
            "parameters": {"c+": "1", "c#": "2"},
            "tags": {},
            "time": 1,
        },
        {"event": "metrics", "values": {"iou/c+": 0.1, "iou/c#": 0.2}, "step": 0, "time": 1},
        {"event": "metrics", "values": {"iou/c+": 0.3, "iou/c#": 0.4}, "step": 1, "time": 2},
        {"event": "end", "status": "FINISHED", "outputs": []},
    ]
    assert record([json.dumps(line) + "\n" for line in lines])
    (run,) = connect().search_runs(["1"], "attributes.run_name = 'train@c'")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"c_": "1", "c___2": "2"}
    assert run.data.metrics == {"iou/c_": 0.3, "iou/c___2": 0.4}


def test_a_run_that_cannot_be_recorded_has_an_end(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {"event": "start", "name": "train@lost", "book": "toy", "parameters": {}, "tags": {}, "time": 1}
    broken = {"event": "picture", "name": "a.png", "png": "no picture"}
    assert not record([json.dumps(line) + "\n" for line in (start, broken)], io.StringIO())
    (run,) = connect().search_runs(["1"], "attributes.run_name = 'train@lost'")
    assert run.info.status == "FAILED"


def test_a_torn_line_ends_a_killed_run(runs: Any) -> None:
    told_in_part = stage_messages("train@torn").getvalue()[:-30]
    assert record(io.StringIO(told_in_part))
    (run,) = connect().search_runs(["1"], "attributes.run_name = 'train@torn'")
    assert (run.info.status, run.data.metrics) == ("KILLED", {"loss": 1.0})


def test_a_recorder_that_died_costs_no_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Dead(recording.OwnRecorder):
        def __init__(self) -> None:
            self._process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, text=True)
            self._process.wait()

    monkeypatch.delenv("WEAK2MASK_TRACKING", raising=False)
    monkeypatch.setattr(tracking, "open_channel", Dead)
    with warnings.catch_warnings(record=True) as caught, tracking.run("train@a", "toy", {}) as log:
        for step in range(1000):
            log.metrics({"loss": 0.0}, step)
        log.tags({"a": 1})
        (tmp_path / "work").write_text("done")
    assert ["not recorded" in str(warning.message) for warning in caught] == [True]
    assert (tmp_path / "work").exists()


@pytest.mark.parametrize("setting", [{"WEAK2MASK_TRACKING": "off"}, {"RANK": "1"}, {"LOCAL_RANK": "3"}])
def test_nothing_is_started_when_off_or_not_the_first_process(
    monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tracking, "open_channel", lambda: pytest.fail("a recorder was started"))
    with warnings.catch_warnings(action="error"), tracking.run("train@a", "toy", {"a": 1}) as log:
        log.metrics({"loss": 1.0})
        log.picture("a.png", np.zeros((2, 2, 3), np.uint8))
        log.tags({"a": "b"})


def test_unknown_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_TRACKING", "onn")
    with pytest.raises(ConfigurationError, match="Did you mean 'on'"):
        tracking.enabled()


def test_hashes_are_those_of_dvc(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for name, content in {"b.txt": b"b", "a/z": b"\0" * 70000, "a b/ü.txt": "ü".encode(), "a.txt": b""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (tmp_path / "one.csv").write_bytes(b"a,b\r\n1,2\r\n")
    quiet = os.environ | {"DVC_NO_ANALYTICS": "1"}
    for arguments in (["init", "--no-scm", "-q"], ["add", "-q", "out", "one.csv"]):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=tmp_path, env=quiet, check=True)
    for name in ("out", "one.csv"):
        (recorded,) = yaml.safe_load((tmp_path / f"{name}.dvc").read_text())["outs"]
        assert tracking.dvc_md5(tmp_path / name) == recorded["md5"]


def test_serve_needs_something_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(DataError, match="expected recorded runs, found nothing"):
        tracking.become_mlflow_ui(5000)
