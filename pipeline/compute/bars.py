"""Progress bars: for people on stderr, or one line of JSON at a time for a program that asks for it.

``WEAK2MASK_PROGRESS=lines`` makes every bar write ``::progress {...}`` instead; :func:`read_progress` reads them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")

CHANNEL = "WEAK2MASK_PROGRESS"
MARK = "::progress "


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    what: str
    done: int
    total: int | None
    seconds_left: float | None = None
    note: str = ""

    @property
    def percent(self) -> float | None:
        """0 to 100, or None when the end is not known."""
        return min(100.0, 100 * self.done / self.total) if self.total else None

    def __str__(self) -> str:
        share = f"{self.percent:.0f} %" if self.percent is not None else f"{self.done}"
        left = "" if self.seconds_left is None else f", {_clock(self.seconds_left)} left"
        return f"{self.what}: {share}{left}{f' ({self.note})' if self.note else ''}"


def progress(
    iterable: Iterable[Item],
    total: int | None = None,
    desc: str = "",
    *,
    unit: str = "it",
    size: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Item]:
    """Yield from ``iterable`` behind a bar on stderr; in a log file a line every half minute at most.

    Args:
        iterable: what is being done.
        total: sum of the sizes, where it is known.
        desc: what is being done, for a reader.
        unit: what the bar counts.
        size: how many units an item is.
    """
    with _kind()(total=total, desc=desc, unit=unit, **_options()) as bar:
        for item in iterable:
            yield item
            bar.update(size(item))


def steps_bar(total: int, done: int, desc: str, shown: bool = True) -> tqdm[NoReturn]:
    """A bar to be moved by hand, at ``done`` of ``total``; it shows speed, the time left and what is posted to it.

    Of several processes that train together only one has it ``shown``.
    """
    bar: tqdm[NoReturn] = _kind()(total=total, initial=done, desc=desc, unit="step", disable=not shown, **_options())
    return bar


def read_progress(line: str) -> Progress | None:
    """What a line of a stage's output says about its progress, or None for any other line."""
    if not line.startswith(MARK):
        return None
    try:
        return Progress(**json.loads(line.removeprefix(MARK)))
    except (ValueError, TypeError):  # two processes wrote into one line
        return None


def _kind() -> Any:
    from tqdm import tqdm

    if os.environ.get(CHANNEL) != "lines":
        return tqdm

    class Lines(tqdm):  # type: ignore[type-arg]
        """A bar that a program reads."""

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            self.fp.write(_line(self.format_dict))
            self.fp.flush()

    return Lines


def _line(state: Mapping[str, Any]) -> str:
    done, total, rate = state["n"], state["total"], state["rate"]
    if rate is None and state["elapsed"]:
        rate = (done - state["initial"]) / state["elapsed"]
    left = round((total - done) / rate, 1) if total and rate else None
    content = {"what": state["prefix"].removesuffix(": "), "done": done, "total": total, "seconds_left": left}
    return MARK + json.dumps(content | {"note": state["postfix"] or ""}) + "\n"


def _options() -> dict[str, Any]:
    lines = os.environ.get(CHANNEL) == "lines"
    live = sys.stderr.isatty() and not os.environ.get("CI")
    interval = 1.0 if lines else 0.2 if live else 30.0
    return {"file": sys.stderr, "mininterval": interval, "maxinterval": interval, "ncols": 100}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
