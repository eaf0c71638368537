"""Fetch what others have evaluated from DVC's remote."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

from models.errors import Weak2MaskError
from pipeline.book.artifacts import SCORED
from pipeline.book.graph_file import write_first_graph
from pipeline.book.params import Book
from pipeline.compute.lifeline import bound_command
from pipeline.running.stage_process import environment
from pipeline.tracking.runs import locked_outputs


def pull_evaluations(book: Book) -> None:
    """Fetch the evaluations that the book's dvc.lock records, some kilobytes each, from DVC's cache or its remote.

    Where it records none, a warning says so: a table has published numbers to show all the same.

    Raises:
        Weak2MaskError: DVC could not; it has said why.
    """
    dvc_yaml = Path(book.book.path) / "dvc.yaml"
    lock = dvc_yaml.with_name("dvc.lock")
    recorded = locked_outputs(lock) if lock.is_file() else {}
    stages = [f"{verb}@{name}" for verb in SCORED for name in getattr(book, verb)]
    names = [f"{dvc_yaml}:{stage}" for stage in stages if stage in recorded]
    if not names:
        warnings.warn(
            f"Nothing to pull: {lock} records no evaluation of {book.book.params}. Expected the dvc.lock of somebody "
            f"who ran it, committed; or run it here: python -m pipeline run --book {book.book.path}.",
            stacklevel=2,
        )
        return  # DVC would take no name for all of them
    write_first_graph(dvc_yaml.parent)
    command = bound_command("dvc", "--wait-for-lock", "pull", *names)
    if subprocess.run(command, env=environment(), stdout=sys.stderr, check=False).returncode:
        raise Weak2MaskError(
            f"The evaluations of {book.book.params} could not be pulled. Expected a DVC remote (`dvc remote list`) "
            "that someone pushed this dvc.lock to. Remedy: `dvc push` there, or `python -m pipeline run` here."
        )
