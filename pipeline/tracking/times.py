"""How long stages took on this machine, as MLflow's local store has it.

The store is read with sqlite3, read-only: MLflow's client takes seconds to import, and creates a store that is missing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

from pipeline.tracking.log import store_path

_QUERY = """
    SELECT runs.name, runs.status, runs.start_time, runs.end_time, runs.run_uuid
    FROM runs JOIN experiments ON runs.experiment_id = experiments.experiment_id
    WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'
    ORDER BY runs.start_time
"""


@dataclass(frozen=True)
class Measured:
    """The last finished run of a stage.

    Attributes:
        seconds: from its start to its end.
        start: milliseconds since 1970.
        run: MLflow's id.
        continued: the run before it did not end, so that it may have gone on from there and be only a part.
    """

    seconds: float
    start: int
    run: str
    continued: bool = False


@dataclass(frozen=True)
class Times:
    """Stage name (``train@cam``) -> its last finished run; ``note`` says why none are known, "" where they are."""

    measured: Mapping[str, Measured]
    note: str = ""


def recorded_times(book: str) -> Times:
    """The times of the stages of a book, by the book's name, which is that of its MLflow experiment."""
    path = store_path()
    if path is None:
        return Times({}, "Times are not read from an MLflow server, only from a store on this machine.")
    if not path.is_file():
        return Times({}, f"No times: {path} is not there, so no stage has been recorded on this machine.")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as store:
            return Times(_last(store.execute(_QUERY, (book,))))
    except sqlite3.Error as error:
        return Times({}, f"No times: {path} cannot be read ({error}).")


def _last(rows: Iterable[tuple[str, str, int, int | None, str]]) -> dict[str, Measured]:
    """The last finished run of each name, of rows in the order of their start."""
    found: dict[str, Measured] = {}
    before: dict[str, str] = {}
    for name, status, start, end, run in rows:
        if status == "FINISHED" and end is not None:
            cut = before.get(name, "FINISHED") != "FINISHED"
            found[name] = Measured((end - start) / 1000, start, run, cut)
        before[name] = status
    return found
