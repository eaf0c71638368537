"""A chain for a terminal: the graph with states and times, then each stage with its options and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.results.chain.collect import Chain, ChainStage, Input
from pipeline.results.chain.lanes import PLAIN, lanes
from pipeline.results.chain.settings import Setting
from pipeline.results.tables.text import NONE

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

LEGEND = (
    "State by dvc.lock, options and code; no file is hashed, as `dvc status` does. Times are of the last finished run "
    "on this machine."
)
STYLES = {
    "up to date": "green",
    "restored": "green",
    "would run": "yellow",
    "depends": "yellow",
    "at work": "cyan",
    "not known": "dim",
}


def print_chain(found: Chain) -> None:
    """Print a chain; 120 columns wide where the output is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=120, highlight=False)
    for item in _shown(found, console):
        console.print(item)


def summary(found: Chain) -> str:
    """How many stages there are, and how many in each state, in one line."""
    words = Counter(stage.state.word for stage in found.stages)
    counted = ", ".join(f"{number} {word}" for word, number in words.items())
    timed = [stage.measured.seconds for stage in found.stages if stage.measured]
    took = f" Their last runs took {duration(sum(timed))} ({len(timed)} measured)." if timed else ""
    return f"{found.target} of {found.params}, stages: {len(found.stages)} ({counted}).{took}"


def duration(seconds: float) -> str:
    """A time for people: ``0.8 s``, ``42 s``, ``5 min 12 s``, ``3 h 04 min``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _shown(found: Chain, console: Console) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(summary(found))
    yield ""
    yield _overview(found, console.encoding.lower().startswith("utf"))
    for stage in found.stages:
        yield ""
        yield _heading(stage, found.params)
        yield _details(stage)
    yield ""
    yield Text(" ".join(filter(None, [LEGEND, found.note])), style="dim")


def _overview(found: Chain, signs: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    drawn = lanes({stage.stage: stage.after for stage in found.stages})
    for stage, line in zip(found.stages, drawn, strict=True):
        word = stage.state.word
        took = duration(stage.measured.seconds) if stage.measured else NONE
        table.add_row(
            Text(line if signs else line.translate(PLAIN)), Text(stage.stage), Text(word, STYLES[word]), Text(took)
        )
    return table


def _heading(stage: ChainStage, params: str) -> RenderableType:
    from rich.text import Text

    where = Path(params).with_name(stage.place).as_posix() if stage.place else params
    words = [stage.component, where, *(["on the device"] if stage.gpu else [])]
    return Text.assemble((stage.stage, "bold"), "  ", "; ".join(words))


def _details(stage: ChainStage) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    rows = [
        ("  given", "\n".join(as_yaml([one for one in stage.settings if one.given])), ""),
        ("  default", "\n".join(as_yaml([one for one in stage.settings if not one.given])), "dim"),
        ("  reads", "\n".join(_read(one) for one in stage.reads), ""),
        ("  writes", "\n".join(stage.writes), ""),
        ("  state", ": ".join(filter(None, [stage.state.word, "; ".join(stage.state.why)])), ""),
        ("  cost", cost(stage), ""),
    ]
    for label, content, style in rows:
        if content:
            table.add_row(Text(label), Text(content, style))
    return table


def as_yaml(settings: Sequence[Setting]) -> list[str]:
    """As params.yaml would have it: single values in one line, then a line for each key with options below it."""
    nested: dict[str, Any] = {}
    for one in settings:
        place = nested
        *above, last = one.key.split(".")
        for key in above:
            place = place.setdefault(key, {})
        place[last] = one.value
    single = ", ".join(f"{key}: {_flow(value)}" for key, value in nested.items() if not isinstance(value, dict))
    groups = [f"{key}: {_flow(value)}" for key, value in nested.items() if isinstance(value, dict)]
    return [single, *groups] if single else groups


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").strip()


def _read(one: Input) -> str:
    return f"{one.path}{f' ({one.made_by})' if one.made_by else ' (not there)' if one.missing else ''}"


def cost(stage: ChainStage) -> str:
    """What a stage has to do, and how long its last run took."""
    measured = stage.measured
    if measured is None:
        return "; ".join(filter(None, [stage.work, "not measured"]))
    day = datetime.fromtimestamp(measured.start / 1000).date().isoformat()
    took = f"took {duration(measured.seconds)} on {day}"
    if measured.continued:
        took += " (perhaps the last part only: the run before did not end)"
    return "; ".join(filter(None, [stage.work, took]))
