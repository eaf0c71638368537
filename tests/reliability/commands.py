"""A command on the DVC project of shell stages in the working folder: ``commands.py run`` or ``commands.py flow``.

``run`` is what ``python -m pipeline run`` does once the book has been checked; ``flow`` what Prefect's tasks do,
without Prefect.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from models.errors import Weak2MaskError
from pipeline.running import repro
from pipeline.running.graph import read_graph
from pipeline.running.plan import PlanRun


def run() -> None:
    """All stages through ``pipeline.running.repro``."""
    repro.check_targets = lambda *_: None  # a project without a book
    place = SimpleNamespace(path=".", params="params.yaml", targets=[])
    book: Any = SimpleNamespace(book=place, prepare={})
    repro.run(book)


def flow() -> str:
    """All stages through ``pipeline.running.plan``, one after another; gives what went wrong."""
    plan_run = PlanRun(read_graph(), jobs=1)
    plan_run.look()
    for name, stage in plan_run.graph.items():
        if not (plan_run.blocked(name) or plan_run.unchanged(name)):
            with plan_run.slots.take(stage.gpu) as device:
                plan_run.run(stage, lambda line: None, device)
            if name == "code":
                plan_run.look()
    return plan_run.summary() if plan_run.failures else ""


if __name__ == "__main__":
    try:
        failed = {"run": run, "flow": flow}[sys.argv[1]]()
    except Weak2MaskError as error:
        failed = str(error)
    sys.exit(failed or 0)
