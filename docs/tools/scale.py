"""The page of scale: from what ``python -m benchmarks.scale`` writes into results/scale/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale import HASHED, slopes
from benchmarks.scale_steps import GALLERY
from docs.tools.tables import table

FOLDER = Path(__file__).parents[2] / "results" / "scale"
HEAD = """# Scale

On this page you can see what a data set's size does to a book: made data sets, the same book, step by step.
`python -m benchmarks.scale` measures, `--resume` goes on, `--images 640 2000 8000` takes smaller sizes.

Images are 24x32 pixels with two tags of 80 classes, so that what counts is what a stage does for every image beside
its computation. Each step is a process with one thread and no workers. Where time is linear, one image more costs the
same between any two sizes: the last ratio is 1.
"""
Record = Mapping[str, Any]


def page() -> str:
    """The page, from all records."""
    return text_of({path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))})


def text_of(records: Mapping[str, Record]) -> str:
    """The page of these records, by the names of their files."""
    parts = [HEAD]
    if "stages" in records:
        parts += _stages(records["stages"])
    for name, record in records.items():
        if name.startswith("store_"):
            parts.append(_store(record))
    if "cams" in records:
        parts.append(_cams(records["cams"]))
    return "\n".join(parts)


def _stages(record: Record) -> Iterator[str]:
    runs = record["runs"]
    sizes = sorted({run["images"] for run in runs})
    steps = [name for name in dict.fromkeys(run["step"] for run in runs) if name not in ("made images", "page")]
    columns = ["step", *(f"{size:,}: CPU s" for size in sizes), *(f"{size:,}: MB" for size in sizes)]
    gaps = [f"ms an image, to {size:,}" for size in sizes[1:]]
    rows = [*(_row(runs, step, sizes) for step in steps), _all_steps(runs, steps, sizes)]
    yield table([*columns, *gaps, "ratio"], rows) + "\n"
    yield (
        "MB is the peak of the process. CPU milliseconds of one image more are corrected by a loop that is timed "
        "before and after each step; a step that takes less than a second more at the largest size has none.\n"
    )
    written = [run for run in runs if "files" in run and run["images"] == sizes[-1] and run["step"] != HASHED]
    stores = {run["step"]: run for run in written}
    files = [
        [step, f"{run['files']:,}", f"`{run['bytes'] / 1e6:,.1f}`", f"{run['bytes'] / sizes[-1]:,.0f}"]
        for step, run in stores.items()
    ]
    yield f"## Files of {sizes[-1]:,} images\n\n{table(['step', 'files', 'MB', 'bytes an image'], files)}\n"
    yield from _report(runs, sizes[-1])
    commits = ", ".join(f"`{commit[:8]}`" for commit in dict.fromkeys(run["commit"] for run in runs))
    yield f"Measured until {record['made']['date']}, commits {commits}, {record['made']['machine']}.\n"


def _row(runs: Sequence[Record], step: str, sizes: Sequence[int]) -> list[str]:
    at = {size: [run for run in runs if run["step"] == step and run["images"] == size] for size in sizes}
    cpu = {size: min((run["cpu"] for run in of_size), default=None) for size, of_size in at.items()}
    memory = {size: max((run["megabytes"] for run in of_size), default=None) for size, of_size in at.items()}
    gaps = _gaps(runs, step)
    places = 4 if step == "chunk" else 2
    return [
        step,
        *("" if value is None else f"`{value:.{places}f}`" for value in cpu.values()),
        *("" if value is None else f"{value:.0f}" for value in memory.values()),
        *_gap_cells(gaps, sizes),
    ]


def _gaps(runs: Sequence[Record], step: str) -> list[float]:
    """CPU milliseconds of one image more, to each larger size; none of a step that grows by less than a second."""
    seconds = [run["cpu"] for run in runs if run["step"] == step]
    if step == "chunk" or max(seconds) - min(seconds) < 1:
        return []
    return [gap for _, gap in slopes(runs, step)]


def _all_steps(runs: Sequence[Record], steps: Sequence[str], sizes: Sequence[int]) -> list[str]:
    of_steps = [gaps for step in steps if len(gaps := _gaps(runs, step)) == len(sizes) - 1]  # measured at each size
    gaps = [sum(each) for each in zip(*of_steps, strict=True)]
    return ["all steps", *[""] * (2 * len(sizes)), *_gap_cells(gaps, sizes)]


def _gap_cells(gaps: Sequence[float], sizes: Sequence[int]) -> list[str]:
    """A cell for each larger size, and the last gap beside the first."""
    cells = [*(f"`{gap:.3f}`" for gap in gaps), *[""] * (len(sizes) - 1 - len(gaps))]
    return [*cells, f"`{gaps[-1] / gaps[0]:.2f}`" if len(gaps) > 1 else ""]


def _report(runs: Sequence[Record], images: int) -> Iterator[str]:
    written = [run for run in runs if run["step"] == "report" and run["images"] == images]
    opened = [run for run in runs if run["step"] == "page" and run["images"] == images]
    if written and opened:
        yield (
            f"The report of the book of {images:,} images has {written[0]['bytes'] / 1e6:.1f} MB, with a gallery of "
            f"{GALLERY} of them and {GALLERY} images of 480x640 pixels. Chromium opens it in "
            f"{opened[0]['opens']:.2f} s (worst of three: {opened[0]['opens_worst']:.2f} s).\n"
        )


def _store(record: Record) -> str:
    rows = [
        [f"{int(images):,}", f"`{1000 * run['open_and_chunk']:.1f}`", f"{run['making_megabytes']:.0f}"]
        for images, run in record["stores"].items()
    ]
    columns = ["images of a store of CAMs", "opening it and reading 64 of them, CPU ms", "writing it, MB"]
    return f"## A store of a million images\n\n{table(columns, rows)}\n\nMeasured {_place(record['made'])}.\n"


def _cams(record: Record) -> str:
    columns = ["store", "type", "images", "maps", "bytes a map", "bytes a cell", "COCO by that, GB"]
    rows = [
        [
            f"`{store['store']}`",
            store["type"],
            f"{store['images']:,}",
            f"{store['maps']:,}",
            f"{store['bytes_per_map']:,.0f}",
            f"`{store['bytes_per_cell']:.2f}`",
            f"`{store['coco_gigabytes']:.1f}`",
        ]
        for store in record["stores"]
    ]
    return (
        f"## Bytes of CAMs of real images\n\n{record['about']}\n\n{table(columns, rows)}\n\n"
        "COCO: 118,287 images of 480x640 with 2.9 classes each.\n\n"
        f"Measured {_place(record['made'])}.\n"
    )


def _place(made: Record) -> str:
    return f"{made['date']}, commit `{made['commit'][:8]}`, {made['machine']}"
