"""The graph of a chain as a file: SVG for documents, Mermaid for Markdown. Says what is, not what has run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

from models.errors import ConfigurationError
from pipeline.book.artifacts import kind_of
from pipeline.results.chain.collect import Chain, ChainStage
from pipeline.results.chain.layers import Layout, lay_out
from pipeline.storage.whole import whole_file

HEIGHT, STEP, MARGIN = 42, 78, 12
"""Pixels: of a box, from row to row, around all."""
BIG, SMALL = 8.5, 6.9
"""Pixels of a character of the first and of the second line of a box, a little more than most fonts need."""

COLOURS = {
    "catalogues": ("#59636e", "#a2acb8"),
    "supervision": ("#2c8f5a", "#5cc08a"),
    "checkpoints": ("#2f6fc9", "#6aa5f2"),
    "cams": ("#d9771c", "#f0a04e"),
    "masks": ("#6f5bd0", "#a797f5"),
    "evaluations": ("#b5489a", "#e07fc6"),
    "localisations": ("#b5489a", "#e07fc6"),
}
"""Of each kind of artefact, on a light and on a dark page."""


def write_drawing(found: Chain, path: Path) -> None:
    """Write the graph to ``path``; its suffix says how: .svg, or .mmd (Mermaid).

    Raises:
        ConfigurationError: another suffix, or the folder is not there.
    """
    draw = FORMATS.get(path.suffix)
    if draw is None:
        raise ConfigurationError(f"--graph {path}: expected a name that ends in {' or '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--graph {path}: there is no folder {path.parent}. Make it first.")
    with whole_file(path, durable=False) as scratch:
        scratch.write_text(draw(found), encoding="utf-8")


def mermaid(found: Chain) -> str:
    """The graph as a Mermaid flowchart, which GitHub draws in a fenced block ``mermaid``."""
    number = {stage.stage: f"n{index}" for index, stage in enumerate(found.stages)}
    boxes = [f'  {number[stage.stage]}["{stage.stage}<br/>{escape(stage.component)}"]' for stage in found.stages]
    arrows = [f"  {number[above]} --> {number[stage.stage]}" for stage in found.stages for above in stage.after]
    return "\n".join(["flowchart TD", *boxes, *arrows]) + "\n"


def svg(found: Chain) -> str:
    """The graph as an SVG that is light on a light page and dark on a dark one; inputs stand above."""
    layout = lay_out({stage.stage: stage.after for stage in found.stages}, {s.stage: _width(s) for s in found.stages})
    width, height = layout.width + 2 * MARGIN, (layout.rows - 1) * STEP + HEIGHT + 2 * MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
            f'height="{height}" role="img" font-family="system-ui, sans-serif">',
            f"<title>{escape(found.target)}: {len(found.stages)} stages of {escape(found.params)}</title>",
            f"<style>{_style()}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
            *_edges(layout),
            *(_box(stage, *layout.centres[stage.stage]) for stage in found.stages),
            "</svg>\n",
        ]
    )


FORMATS: Mapping[str, Callable[[Chain], str]] = {".svg": svg, ".mmd": mermaid}


def _words(stage: ChainStage) -> tuple[str, str]:
    verb, _, name = stage.stage.partition("@")
    return name, f"{verb}: {stage.component}"


def _width(stage: ChainStage) -> float:
    name, below = _words(stage)
    return max(len(name) * BIG, len(below) * SMALL) + 26


def _style() -> str:
    light = "".join(f".{kind}{{fill:{colours[0]}}}" for kind, colours in COLOURS.items())
    dark = "".join(f".{kind}{{fill:{colours[1]}}}" for kind, colours in COLOURS.items())
    return (
        ".page{fill:#fff;stroke:#c3cad2}.name{fill:#1c2126;font-size:13px;font-weight:600}"
        ".component{fill:#59636e;font-size:11.5px}.edge{fill:none;stroke:#8a949f;stroke-width:1.4}.tip{fill:#8a949f}"
        f"{light}@media (prefers-color-scheme: dark){{.page{{fill:#191d23;stroke:#4a5562}}.name{{fill:#e7eaee}}"
        f".component{{fill:#a2acb8}}.edge{{stroke:#77828e}}.tip{{fill:#77828e}}{dark}}}"
    )


def _box(stage: ChainStage, x: float, row: int) -> str:
    width, top = _width(stage), MARGIN + row * STEP
    left = MARGIN + x - width / 2
    name, below = _words(stage)
    kind = kind_of(stage.stage.partition("@")[0])
    return (
        f'<g><rect class="page" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" rx="6"/>'
        f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="5" height="{HEIGHT}" rx="2.5"/>'
        f'<text class="name" x="{left + 14:.1f}" y="{top + 18}">{escape(name)}</text>'
        f'<text class="component" x="{left + 14:.1f}" y="{top + 34}">{escape(below)}</text></g>'
    )


def _edges(layout: Layout) -> list[str]:
    """A curve for each edge: from the foot of a box to the head of another, upright where it passes a row."""
    drawn = []
    for points in layout.edges:
        (x, row), *middle = points
        y = MARGIN + row * STEP + HEIGHT
        path = f"M{MARGIN + x:.1f} {y}"
        for number, (x, row) in enumerate(middle, start=1):
            head, half = MARGIN + row * STEP, (STEP - HEIGHT) / 2
            before = MARGIN + points[number - 1][0]
            path += f"C{before:.1f} {y + half:.0f} {MARGIN + x:.1f} {head - half:.0f} {MARGIN + x:.1f} {head}"
            y = head + HEIGHT
            path += f"V{y}" if number < len(middle) else ""
        drawn.append(f'<path class="edge" marker-end="url(#tip)" d="{path}"/>')
    return drawn
