"""Runs that carry a tag, of MLflow's store: a file on this machine is read with sqlite3, a server is asked.

MLflow's client takes seconds of a core to import, more than all else that a table does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from models.errors import Weak2MaskError
from pipeline.tracking.log import store_path, store_uri
from pipeline.tracking.recorder import connect

_RUNS = """
    SELECT runs.run_uuid, runs.experiment_id, runs.start_time, runs.end_time
    FROM tags JOIN runs ON runs.run_uuid = tags.run_uuid
    JOIN experiments ON experiments.experiment_id = runs.experiment_id
    WHERE tags.key = ? AND tags.value = ? AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
    ORDER BY runs.start_time DESC, runs.run_uuid LIMIT ?
"""
PATIENCE = 10.0
"""Seconds to wait for another process that is writing."""


@dataclass(frozen=True)
class StoredRun:
    """A run as MLflow stores it; times in milliseconds since 1970, ``end`` None for one that has not ended."""

    id: str
    experiment_id: str
    start: int
    end: int | None
    tags: Mapping[str, str]


class Store(Protocol):
    """Where runs can be looked up."""

    def tagged(self, tag: str, value: str, most: int) -> list[StoredRun]:
        """The newest runs with this tag, newest first; Weak2MaskError where the store does not answer."""


def open_store() -> Store:
    """The store that ``MLFLOW_TRACKING_URI`` names, by the quickest way to it.

    Raises:
        Weak2MaskError: it does not answer.
    """
    path = store_path()
    if path is not None and path.is_file():
        local = LocalStore(path)
        try:
            local.tagged("", "", 1)
            return local
        except Weak2MaskError:
            pass  # made by another version of MLflow, or no store: MLflow knows what to do with it, or says why
    return ServedStore()


class LocalStore:
    """MLflow's SQLite file, read only."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"

    def tagged(self, tag: str, value: str, most: int) -> list[StoredRun]:
        """See :class:`Store`; each call opens the file, so that any thread may ask."""
        try:
            with closing(sqlite3.connect(self._uri, uri=True, timeout=PATIENCE)) as store:
                rows = store.execute(_RUNS, (tag, value, most)).fetchall()
                return [StoredRun(row[0], str(row[1]), row[2], row[3], _tags(store, row[0])) for row in rows]
        except sqlite3.Error as error:
            raise _silent(error) from None


def _tags(store: sqlite3.Connection, run: str) -> dict[str, str]:
    return dict(store.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run,)))


class ServedStore:
    """Any store that MLflow's client can reach."""

    def __init__(self) -> None:
        try:
            self._client: Any = connect()
        except Exception as error:  # MLflow's own, the database's or the network's
            raise _silent(error) from None

    def tagged(self, tag: str, value: str, most: int) -> list[StoredRun]:
        """See :class:`Store`."""
        experiments = [experiment.experiment_id for experiment in self._client.search_experiments()]
        query, order = f"tags.`{tag}` = '{value}'", ["attributes.start_time DESC"]
        found = self._client.search_runs(experiments, query, max_results=most, order_by=order)
        return [_stored(run.info, run.data.tags) for run in found]


def _stored(info: Any, tags: Mapping[str, str]) -> StoredRun:
    return StoredRun(info.run_id, info.experiment_id, info.start_time, info.end_time or None, tags)


def _silent(error: Exception) -> Weak2MaskError:
    reason = " ".join(str(error).split())[:300]
    return Weak2MaskError(
        f"MLflow at {store_uri()} does not answer: {reason}\n"
        "Remedy: start that server, or unset MLFLOW_TRACKING_URI to read mlflow.db."
    )
