"""How long stages take: what each took last time, and what the shipped books took where they were measured.

Only people read these; nothing depends on them. They lie in the book's work folder, beside what the stages make.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import psutil

from pipeline.book.lineage import ancestors
from pipeline.book.params import Book
from pipeline.book.yaml_text import parse_yaml

KNOWN = Path(__file__).with_name("known_times.yaml")
FOLDER = "times"
"""In a book's work folder; a file for each stage, since stages run side by side."""


@dataclass(frozen=True)
class Expected:
    """About how long a stage will take.

    Attributes:
        seconds: on the clock.
        basis: where that comes from, to follow the number: "as last time".
    """

    seconds: float
    basis: str

    def __str__(self) -> str:
        return f"about {duration(self.seconds)}, {self.basis}"


def expected(book: Book, stage: str, cores: int) -> Expected | None:
    """What a stage (``train@segmenter``) took last time, else what is known of a shipped book; None: neither.

    Args:
        cores: of this machine; a known time is in CPU seconds, and shared out among them.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):  # not there, or not what this version writes
        found = json.loads(_file(book, stage).read_text(encoding="utf-8"))
        return Expected(float(found["seconds"]), "as last time")
    known = _known(book).get(stage)
    if known is None:
        return None
    return Expected(known / cores, f"as measured, on {cores} core{'s' if cores > 1 else ''} without a GPU")


def announcement(book: Book, targets: Sequence[str], cores: int) -> str:
    """What a run is going to do and about how long it takes, in one sentence or two."""
    nodes = [tuple(target.split("@", 1)) for target in targets if "@" in target] or list(book.entries())
    wanted = dict.fromkeys(node for verb, name in nodes for node in ancestors(book, verb, name))
    times = [expected(book, f"{verb}@{name}", cores) for verb, name in wanted]
    known = [time.seconds for time in times if time is not None]
    begin = f"{book.name}: {len(wanted)} stages; those that are up to date are skipped."
    if not known:
        return f"{begin} Each says how far it is; how long it took is kept for the next run."
    if len(known) < len(times):
        return f"{begin} {len(known)} of them take about {duration(sum(known))} together; the others are new."
    return f"{begin} All of them together take about {duration(sum(known))}."


@contextmanager
def measured(book: Book, stage: str) -> Iterator[None]:
    """Keep how long what happens inside took, if it ends well."""
    begin, cpu = monotonic(), _cpu_seconds()
    yield
    content = {"seconds": round(monotonic() - begin, 1), "cpu_seconds": round(_cpu_seconds() - cpu, 1)}
    file = _file(book, stage)
    with suppress(OSError):  # a stage that has done its work does not fail for this
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content) + "\n", encoding="utf-8")


def duration(seconds: float) -> str:
    """For people: ``8 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _file(book: Book, stage: str) -> Path:
    return Path(book.book.work) / FOLDER / f"{stage}.json"


def _known(book: Book) -> dict[str, float]:
    """CPU seconds of the stages of a shipped book; the work folder tells it from a copy and from a dry run."""
    found = parse_yaml(KNOWN.read_text(encoding="utf-8")).get(str(book.book.work), {})
    return {str(stage): float(seconds) for stage, seconds in found.items()}


def _cpu_seconds() -> float:
    """Of this process, and of all below it: those that have ended, and those at work.

    The workers of a stage are children of a server that forks them and lives on, so a parent's count of its children
    that have ended has none of their work.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(each.ru_utime + each.ru_stime for each in used)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ended just now, and counts where it was waited for
            total += sum(process.cpu_times()[:4])  # its own, and those of its children that have ended
    return total
