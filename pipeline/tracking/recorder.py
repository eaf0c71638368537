"""The project's memory: the only file that imports mlflow.

``python -m pipeline.tracking.recorder`` reads what one stage tells (``pipeline.tracking.log``) from standard input, one
JSON object a line, and records it as one MLflow run; given the path of a socket, it records every stage that
connects to that.
``MLFLOW_TRACKING_URI`` names the store; the default is ``mlflow.db``, with pictures under ``mlruns/``, in the project's
root, also from DVC's copy of it (``dvc exp run --temp``).
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
import signal
import socketserver
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any, TextIO

from pipeline.compute.project import project_root
from pipeline.tracking.log import dvc_md5, store_path, store_uri

MOST_PARAMETERS = 100  # what MLflow takes in one batch
MOST_METRICS = 500  # a metric costs 23 ms alone on SQLite, 0.3 ms in a batch
SECONDS = 5.0  # after which the next metric takes the waiting ones along, so that a training can be watched
FEW_FILES = 16  # a folder of no more files has each of them hashed too: DVC may track them one by one
UNUSED = ("matplotlib", "pandas", "pyarrow", "scipy", "sklearn")
"""MLflow imports these where they are, a quarter of its start, for data sets and models; mlflow-skinny has none."""
LONGEST = 250  # characters of a name that MLflow takes
OUTPUT_TAG = "dvc.out."
COMMIT_TAG, UNCOMMITTED_TAG = "mlflow.source.git.commit", "git.dirty"


@contextmanager
def _first_use() -> Iterator[None]:
    """One process at a time creates the tables: two together fail with "duplicate column name"."""
    from filelock import FileLock

    path = store_path()
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=300):
        if not path.exists():
            path.touch()  # SQLite's own file is its user's alone to write, whatever the umask of a group says
        yield


def connect() -> Any:
    """A client of the store, which is created when it does not exist. Sends no telemetry and logs only warnings."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it does not honour DO_NOT_TRACK=1
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seven by default, for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _first_use():
        client = MlflowClient(store_uri())
        client.search_experiments(max_results=1)
    return client


class Recorder:
    """Turns the events of one stage into one MLflow run."""

    def __init__(self) -> None:
        self.client: Any = None
        self.run_id = ""
        self._waiting: list[Any] = []
        self._sent = monotonic()
        self._keys: dict[str, str] = {}
        self._taken: set[str] = set()

    def handle(self, event: str, content: dict[str, Any]) -> None:
        """Record one event: start, metrics, picture, tags or end."""
        getattr(self, f"_on_{event}")(**content)

    def close(self, status: str) -> None:
        """End the run."""
        self._send_metrics()
        self.client.set_terminated(self.run_id, status)
        self.run_id = ""

    def give_up(self) -> None:
        """End a run of which something could not be recorded as failed: nobody works on it any more."""
        if self.run_id:
            self.client.set_terminated(self.run_id, "FAILED")

    def _on_start(self, name: str, book: str, parameters: dict[str, str], tags: dict[str, str], time: int) -> None:
        from mlflow.entities import Param
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

        self.client = connect()
        run = self.client.create_run(self._experiment(book), start_time=time, run_name=name, tags=tags | _git_tags())
        self.run_id = run.info.run_id
        pairs = [Param(self._key(name), value[:MAX_PARAM_VAL_LENGTH]) for name, value in parameters.items()]
        for start in range(0, len(pairs), MOST_PARAMETERS):
            self.client.log_batch(self.run_id, params=pairs[start : start + MOST_PARAMETERS])

    def _on_metrics(self, values: dict[str, float], step: int, time: int) -> None:
        from mlflow.entities import Metric

        self._waiting += [Metric(self._key(name), value, time, step) for name, value in values.items()]
        if len(self._waiting) >= MOST_METRICS or monotonic() - self._sent > SECONDS:
            self._send_metrics()

    def _send_metrics(self) -> None:
        for start in range(0, len(self._waiting), MOST_METRICS):
            self.client.log_batch(self.run_id, metrics=self._waiting[start : start + MOST_METRICS])
        self._waiting, self._sent = [], monotonic()

    def _on_picture(self, name: str, png: str) -> None:
        from PIL import Image

        self.client.log_image(self.run_id, Image.open(io.BytesIO(base64.b64decode(png))), artifact_file=name)

    def _on_tags(self, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag
        from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

        cut = [RunTag(self._key(name), value[:MAX_TAG_VAL_LENGTH]) for name, value in tags.items()]
        self.client.log_batch(self.run_id, tags=cut)

    def _on_end(self, status: str, outputs: list[str]) -> None:
        hashes = {OUTPUT_TAG + name: md5 for output in outputs for name, md5 in _hashes(Path(output))}
        if hashes:
            self._on_tags(hashes)
        self.close(status)

    def _key(self, name: str) -> str:
        """A name with only the characters that MLflow allows, another one for each name: c+ and c# are not one."""
        if name not in self._keys:
            key = plain = plain_key(name)
            number = 1
            while key in self._taken:
                number += 1
                key = f"{plain[: LONGEST - 8]}__{number}"
            self._keys[name] = key
            self._taken.add(key)
        return self._keys[name]

    def _experiment(self, book: str) -> str:
        """The id of the book's experiment, created once."""
        with _first_use():
            experiment = self.client.get_experiment_by_name(book)
            if experiment is not None:
                return str(experiment.experiment_id)
            pictures = None if store_path() is None else (project_root() / "mlruns" / book).as_uri()
            return str(self.client.create_experiment(book, pictures))


def record(lines: Iterable[str], warn: TextIO = sys.stderr) -> bool:
    """Record the events of one stage; returns whether all went well.

    Whatever goes wrong is said once, and the remaining events are dropped, so that the stage can go on telling.
    """
    recorder = Recorder()
    well = True
    for event, content in _events(lines):
        try:
            if well:
                recorder.handle(event, content)
        except Exception as error:
            well = False
            reason = " ".join(str(error).split())[:300]
            print(f"warning: MLflow at {store_uri()} does not record this run: {reason}", file=warn)
            with suppress(Exception):  # what cannot be reached cannot be ended
                recorder.give_up()
    return well


def _events(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(event, content) up to the end; a teller that stops in the middle was killed."""
    event = ""
    for line in lines:
        if not line.endswith("\n"):
            break
        content = json.loads(line)
        event = content.pop("event")
        yield event, content
        if event == "end":  # and not the end of the pipe: a data loader's process may still hold it open
            return
    if event:
        yield "end", {"status": "KILLED", "outputs": []}


def _hashes(path: Path) -> Iterator[tuple[str, str]]:
    if not path.exists():
        return
    yield path.as_posix(), dvc_md5(path)
    files = sorted(path.iterdir()) if path.is_dir() else []
    if len(files) <= FEW_FILES:
        yield from ((file.as_posix(), dvc_md5(file)) for file in files if file.is_file())


def plain_key(name: str) -> str:
    """A name with only the characters, and no more of them, than MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:LONGEST]


def _git_tags() -> dict[str, str]:
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    # dvc.lock has what came out: DVC writes it after each stage, and no stage runs on it
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude,glob)**/dvc.lock")
    return {COMMIT_TAG: commit, UNCOMMITTED_TAG: str(bool(changed)).lower()}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _record_all(path: str) -> None:
    """Record every stage that connects to the socket ``path``, until standard input ends."""

    class OneStage(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            record(line.decode() for line in self.rfile)

    with socketserver.ThreadingUnixStreamServer(path, OneStage) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    import pipeline.compute.rare_collections  # noqa: F401 (MLflow's import makes many objects, and they stay)

    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]  # None: as if they were not installed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage; its end is told here
    _record_all(sys.argv[1]) if len(sys.argv) > 1 else record(sys.stdin)
