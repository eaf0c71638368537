"""Which stages are being made at this moment, by whatever process: told from the locks that DVC holds for them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from pipeline.running.dvc_books import release_locks, remove_broken_locks
from pipeline.running.graph import Graph

LOCKS = Path(".dvc/tmp/rwlock")


def being_written() -> dict[str, int]:
    """Each path (absolute) that a living process of DVC writes, and the id of that process."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # no locks, or half of a file
        locks = json.loads(LOCKS.read_text(encoding="utf-8")).get("write", {})
        return {path: info["pid"] for path, info in locks.items() if holds(info)}
    return {}


def holds(info: Mapping[str, Any]) -> bool:
    """Whether the process with this ``pid`` lives and can be the one that wrote the lock, with the words ``cmd``.

    A killed process keeps its id until its parent asks how it ended, and the first process of a container often never
    asks. In a container that was started again, the id may be of a process that has nothing to do with DVC.
    """
    try:
        process = psutil.Process(info["pid"])
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    except psutil.AccessDenied:  # somebody else's
        return True
    program = str(info.get("cmd", "")).partition(" ")[0]
    return "dvc" not in program or any("dvc" in word for word in words)


def forget_the_dead() -> None:
    """Remove the locks of processes that have ended from DVC's list: DVC takes some of them for living.

    The whole list goes where it is half a file, unless another DVC lives here: it would no longer be heeded.
    """
    with suppress(OSError, KeyError, TypeError, AttributeError):  # no locks
        try:
            listed = _locks(json.loads(LOCKS.read_bytes()))
        except ValueError:
            if not _others_live():
                remove_broken_locks(LOCKS)
            return
        if any(psutil.pid_exists(info["pid"]) and not holds(info) for info in listed):  # DVC sees to the others
            release_locks(holds)


def _others_live() -> bool:
    """Whether another process of DVC, beside this one and those that started it, works in this folder."""
    own, here = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}, os.getcwd()
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # ended, or somebody else's
            if process.pid not in own and process.cwd() == here and any("dvc" in word for word in process.cmdline()):
                return True
    return False


def _locks(locks: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every lock of the list: DVC leaves ``write`` or ``read`` out where there is none."""
    return [*locks.get("write", {}).values(), *(info for infos in locks.get("read", {}).values() for info in infos)]


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
