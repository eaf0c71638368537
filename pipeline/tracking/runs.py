"""From the outputs that DVC knows back to the MLflow runs that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from models.errors import DataError
from pipeline.tracking.log import MACHINE_TAG, enabled, store_path, store_uri
from pipeline.tracking.recorder import COMMIT_TAG, OUTPUT_TAG, UNCOMMITTED_TAG, plain_key
from pipeline.tracking.stores import Store, StoredRun, open_store

LOCAL_UI = "http://127.0.0.1:5000"
"""Where ``python -m pipeline mlflow`` shows the local store."""
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
LOOKED_AT = 200
"""Runs that made an equal output, of which the newest that contradicts no other output is taken."""


@dataclass(frozen=True)
class Circumstances:
    """Of one MLflow run. What an older version of the project did not record is None.

    Attributes:
        date: of its start, UTC, YYYY-MM-DD.
        seconds: from its start to its end; None for one that has not ended.
        commit: of the project.
        uncommitted: whether tracked files differed from that commit.
        machine: cores and GPUs (:func:`pipeline.compute.machine.machine_kind`).
        precision: of a training, as it ran ("32-true", "bf16-mixed").
    """

    date: str
    seconds: float | None = None
    commit: str | None = None
    uncommitted: bool = False
    machine: str | None = None
    precision: str | None = None


@dataclass(frozen=True)
class RecordedStage:
    """A stage of dvc.lock, one of its outputs, and the MLflow run that made it, or None; ``url`` shows that run."""

    stage: str
    output: str
    md5: str
    run_id: str | None
    url: str | None = None
    circumstances: Circumstances | None = None


def known_runs(lock: Path) -> dict[str, RecordedStage]:
    """Stage name -> its run, where there is a record of runs to look in: a table needs none.

    Nothing is looked up, or created, when tracking is off or nothing has been recorded on this machine.

    Raises:
        Weak2MaskError: MLflow does not answer.
    """
    store = store_path()
    if not enabled() or not lock.is_file() or (store is not None and not store.is_file()):
        return {}
    return {recorded.stage: recorded for recorded in find_runs(lock)}


def find_runs(lock: Path) -> list[RecordedStage]:
    """Every stage of a ``dvc.lock`` with the newest run that made exactly its output: also when DVC restored it.

    Raises:
        DataError: no such file.
        Weak2MaskError: MLflow does not answer.
    """
    outputs = locked_outputs(lock)
    finder = RunFinder()
    return [finder.find(stage, outs) for stage, outs in outputs.items()]


def locked_outputs(lock: Path) -> dict[str, list[dict[str, Any]]]:
    """The outputs (``path``, ``md5``, ...) of every stage that a ``dvc.lock`` records.

    Raises:
        DataError: no such file, or none that can be read.
    """
    if not lock.is_file():
        raise DataError(f"{lock}: expected DVC's record of finished stages, found nothing. Remedy: `dvc repro` first.")
    try:
        content = yaml.load(lock.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{lock}: expected YAML ({' '.join(str(error).split())}). Remedy: `dvc repro` again.") from None
    return {stage: entry.get("outs", []) for stage, entry in (content or {}).get("stages", {}).items()}


class RunFinder:
    """A line to MLflow that many questions share: the first one pays for what it takes to open it."""

    def __init__(self) -> None:
        """Raises Weak2MaskError when MLflow does not answer."""
        self._store = open_store()

    def find(self, stage: str, outs: Sequence[Mapping[str, Any]]) -> RecordedStage:
        """The newest run that made exactly one of these outputs (``path``, ``md5``), as dvc.lock lists them."""
        return _find(self._store, stage, outs)


def _find(store: Store, stage: str, outs: Sequence[Mapping[str, Any]]) -> RecordedStage:
    tags = {plain_key(OUTPUT_TAG + out["path"]): out["md5"] for out in outs}
    for out in outs:
        runs = store.tagged(plain_key(OUTPUT_TAG + out["path"]), out["md5"], LOOKED_AT)
        # an output may be equal where the others differ: of most evaluations the sweep is an empty table
        runs = [run for run in runs if all(run.tags.get(tag, md5) == md5 for tag, md5 in tags.items())]
        if runs:
            newest = runs[0]
            url = _url(newest.experiment_id, newest.id)
            return RecordedStage(stage, out["path"], out["md5"], newest.id, url, _circumstances(newest))
    first = outs[0] if outs else {"path": "", "md5": ""}
    return RecordedStage(stage, first["path"], first["md5"], None)


def _circumstances(run: StoredRun) -> Circumstances:
    return Circumstances(
        date=datetime.fromtimestamp(run.start / 1000, UTC).date().isoformat(),
        seconds=(run.end - run.start) / 1000 if run.end else None,
        commit=run.tags.get(COMMIT_TAG),
        uncommitted=run.tags.get(UNCOMMITTED_TAG) == "true",
        machine=run.tags.get(MACHINE_TAG),
        precision=run.tags.get("precision"),
    )


def _url(experiment_id: str, run_id: str) -> str:
    """The page of a run: on the tracking server, or on the local UI."""
    base = store_uri().rstrip("/") if store_uri().startswith("http") else LOCAL_UI
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"
