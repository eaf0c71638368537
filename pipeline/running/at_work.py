"""Which stages are being made at this moment, by whatever process: told from the locks that DVC holds for them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.compute.lifeline import gone
from pipeline.running.graph import Graph

LOCKS = Path(".dvc/tmp/rwlock")


def being_written() -> dict[str, int]:
    """Each path (absolute) that a living process of DVC writes, and the id of that process."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # no locks, or half of a file
        locks = json.loads(LOCKS.read_text(encoding="utf-8")).get("write", {})
        return {path: info["pid"] for path, info in locks.items() if not gone(info["pid"])}
    return {}


def at_work(graph: Graph) -> dict[str, int]:
    """The stages of the graph that are being made, each with the process that makes it."""
    return made_of(graph, being_written())


def made_of(graph: Graph, written: Mapping[str, int]) -> dict[str, int]:
    """The stages of the graph that have one of these paths among their outputs, each with the process that writes."""
    return {name: written[out] for name, stage in graph.items() for out in sorted(stage.outs) if out in written}


def stages_made_by(graph: Graph, pids: Collection[int]) -> dict[str, int]:
    """What these processes make: stages where the graph has them, else paths, else nothing that is known."""
    written = {path: pid for path, pid in being_written().items() if pid in pids}
    names = {out: name for name, stage in graph.items() for out in stage.outs}
    made = {names.get(path, os.path.relpath(path)): pid for path, pid in written.items()}
    unknown = [pid for pid in pids if pid not in made.values()]
    return made | ({"another stage": unknown[0]} if unknown else {})


def busy_message(stages: Mapping[str, int]) -> str:
    """What to say to a command that has to wait for these: the cause in the first line, the remedy in the second."""
    which = ", ".join(f"{name} (process {pid})" for name, pid in stages.items())
    return (
        f"another command is at work on this book: {which}. What it reads must not change meanwhile.\n"
        "Nothing is lost, finished stages are kept. Wait until it has ended, then run the same command again."
    )
