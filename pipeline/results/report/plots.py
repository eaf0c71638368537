"""The plots of a report as plotly figures in plain JSON; the matrices among them have a file of their own."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from models.errors import DataError
from pipeline.book.artifacts import artifact
from pipeline.book.params import Book
from pipeline.results.report.figures import FEW_CLASSES, LEGEND, MARGIN, Lines, Plain, figure, height, text
from pipeline.results.report.matrices import class_matrix, confusion_map
from pipeline.results.report.sources import noting
from pipeline.results.tables.bought import Bought, frontier
from pipeline.results.tables.evaluations import read_evaluations

NO_LOSS = {"step", "epoch", "lr", "total"}
FEW_EVALUATIONS = 8
"""More would be bars of a few pixels: their classes are a matrix."""


def book_plots(book: Book, problems: list[str], prices: Sequence[Bought] = ()) -> Plain:
    """Every figure of a book that can be drawn; files that cannot be read are noted in ``problems``.

    Args:
        book: the recipe book.
        problems: grows.
        prices: rows with the minutes of their labels, the cheapest first.

    Returns:
        ``bars``, ``labels``, ``sweep`` and ``boxes``: a figure or None; ``training`` and ``confusion``: {title,
        figure} of each.
    """
    titles = {
        row.name: f"{row.name} ({row.metrics['split']})"
        for row in read_evaluations(book.book.work, list(book.evaluate))
    }
    tables = {name: artifact(book.book.work, "evaluations", name) for name in titles}
    histories = {name: Path(book.book.work) / "histories" / f"{name}.csv" for name in book.train}
    located = {name: artifact(book.book.work, "localisations", name) / "thresholds.csv" for name in book.evaluate_boxes}
    boxes = _read(located, problems)
    classes, sweeps, confusions = (
        _read({name: folder / file for name, folder in tables.items()}, problems)
        for file in ("classes.csv", "sweep.csv", "confusion.csv")
    )
    return {
        "bars": _draw(lambda: class_figure({titles[name]: lines for name, lines in classes.items()}), classes),
        "labels": price_points(prices),
        "sweep": _draw(lambda: sweep_lines(sweeps), sweeps),
        "boxes": _draw(lambda: box_lines(boxes), boxes),
        "training": [
            {"title": name, "figure": loss_lines(lines)}
            for name, lines in _read(histories, problems, gaps=True).items()
        ],
        "confusion": [{"title": titles[name], "figure": confusion_map(lines)} for name, lines in confusions.items()],
    }


def class_figure(evaluations: dict[str, Lines]) -> Plain:
    """IoU of each class in each evaluation, lines of class and iou: bars, or a matrix where there are many."""
    return class_bars(evaluations) if len(evaluations) <= FEW_EVALUATIONS else class_matrix(evaluations)


def class_bars(evaluations: dict[str, Lines]) -> Plain:
    """IoU of each class, a bar for each evaluation, lines of class and iou; lying where there are many classes."""
    names = list(dict.fromkeys(text(line["class"]) for lines in evaluations.values() for line in lines))
    standing = len(names) <= FEW_CLASSES
    traces = [_bar(title, lines, standing) for title, lines in evaluations.items()]
    # Plotly writes a lying chart from below; the first class and the first evaluation belong on top.
    values = {"range": [0, 100], "title": {"text": "IoU (%)"}, "automargin": True}
    labels = {"type": "category", "categoryarray": names, "categoryorder": "array", "automargin": True, "ticks": ""}
    layout = {"barmode": "group", "bargap": 0.25, "legend": LEGEND, "margin": MARGIN}
    if standing:
        return figure(traces, layout | {"xaxis": labels, "yaxis": values, "height": 400})
    height = 90 + len(names) * (10 + 7 * len(traces))
    labels |= {"autorange": "reversed", "tickmode": "linear", "tickfont": {"size": 11}}
    values |= {"side": "top"}
    return figure(traces, layout | {"yaxis": labels, "xaxis": values, "height": height})


def _bar(title: str, lines: Lines, standing: bool) -> Plain:
    names, values = [text(line["class"]) for line in lines], [round(float(line["iou"]), 2) for line in lines]
    where = {"x": names, "y": values} if standing else {"x": values, "y": names, "orientation": "h"}
    value = "y" if standing else "x"
    hover = f"%{{{'x' if standing else 'y'}}}: %{{{value}:.1f}}<extra>{text(title)}</extra>"
    return {"type": "bar", "name": text(title), "hovertemplate": hover} | where


def price_points(rows: Sequence[Bought]) -> Plain | None:
    """mIoU against the minutes that the labels take, and a line through what no cheaper row beats.

    None unless the rows have two prices at least. The line's points have their names beside them. Minutes are on a log
    scale: outlines cost tens of times as much as tags.
    """
    if len({row.minutes for row in rows}) < 2:
        return None
    best = frontier(rows)
    middle = (rows[0].minutes * rows[-1].minutes) ** 0.5
    line = {
        "type": "scatter",
        "mode": "lines+text",
        "text": [f"\u2002{text(row.label)}\u2002" for row in best],  # clear of its point
        "textposition": ["bottom right" if row.minutes < middle else "top left" for row in best],
        "textfont": {"size": 11},
        "cliponaxis": False,
        "x": [round(row.minutes, 2) for row in best],
        "y": [round(row.miou, 2) for row in best],
        "line": {"width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    traces: list[Plain] = [line]
    by_kinds: dict[str, list[Bought]] = {}
    for row in rows:
        by_kinds.setdefault(" + ".join(row.kinds), []).append(row)
    for kinds, group in by_kinds.items():
        hover = [
            f"{text(row.label)}<br>{row.minutes:.0f} minutes: {row.miou:.1f}"
            + (f" ± {row.std:.1f} ({row.seeds} seeds)" if row.std is not None else "")
            for row in group
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": text(kinds),
                "x": [round(row.minutes, 2) for row in group],
                "y": [round(row.miou, 2) for row in group],
                "error_y": {"type": "data", "array": [round(row.std or 0.0, 2) for row in group], "thickness": 1},
                "marker": {"size": 10},
                "text": hover,
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    prices = sorted({row.minutes for row in rows})
    ticks = [tick for tick in _ROUND if prices[0] <= tick <= prices[-1]]
    if len(ticks) < 2:  # all within one step
        ticks = [round(price, 1) for price in (prices[0], prices[-1])]
    axes = {
        "xaxis": {"title": {"text": "minutes of a person"}, "type": "log", "tickvals": ticks, "automargin": True},
        "yaxis": {"title": {"text": "mIoU (%)"}, "automargin": True},
    }
    layout = {"legend": LEGEND, "showlegend": True, "margin": MARGIN, "height": 360}
    return figure(traces, layout | axes)


def sweep_lines(evaluations: dict[str, Lines]) -> Plain:
    """mIoU of CAMs against the background threshold, the best one marked; lines of threshold and miou."""
    return _curves(evaluations, "miou", "background threshold", "mIoU (%)")


def box_lines(evaluations: dict[str, Lines]) -> Plain:
    """Images whose box is right against the threshold, the best one marked; lines of threshold and max_box_acc."""
    return _curves(evaluations, "max_box_acc", "threshold (share of the maximum)", "boxes with IoU of .5 or more (%)")


def _curves(evaluations: dict[str, Lines], column: str, x_title: str, y_title: str) -> Plain:
    traces: list[Plain] = []
    for name, lines in evaluations.items():
        x, y = ([float(line[key]) for line in lines] for key in ("threshold", column))
        best = max(range(len(y)), key=y.__getitem__)
        sizes = [11 if k == best else 0 for k in range(len(y))]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{text(name)}, best {y[best]:.1f} at {x[best]:.2f}",
                "x": x,
                "y": [round(value, 2) for value in y],
                "marker": {"size": sizes, "opacity": 1, "line": {"width": 0}},
                "hovertemplate": f"threshold %{{x:.2f}}: %{{y:.1f}}<extra>{text(name)}</extra>",
            }
        )
    top = max((value for trace in traces for value in trace["y"]), default=100)
    axes = {
        "xaxis": {"title": {"text": x_title}, "automargin": True},
        "yaxis": {"title": {"text": y_title}, "range": [0, min(100, top + 5)], "automargin": True},
    }
    layout = {"legend": LEGEND, "showlegend": True, "margin": MARGIN, "height": height(traces, 4)}
    return figure(traces, layout | axes)


def loss_lines(lines: Lines) -> Plain:
    """One training: every part of the loss against the step, and their total where there are several."""
    parts = [key for key in lines[0] if key not in NO_LOSS]
    shown = parts if len(parts) == 1 else ["total", *parts]
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(lines) < 3 else "lines",
            "name": text(part),
            "x": [int(float(line["step"])) for line in lines if line[part]],  # a part that begins later is empty before
            "y": [float(f"{float(line[part]):.5g}") for line in lines if line[part]],
            "hovertemplate": f"step %{{x}}: %{{y:.4g}}<extra>{text(part)}</extra>",
            "line": {"width": 3 if part == "total" else 2},
        }
        for part in shown
        if any(line[part] for line in lines)
    ]
    axes = {
        "xaxis": {"title": {"text": "step"}, "rangemode": "tozero", "automargin": True},
        "yaxis": {"title": {"text": "loss"}, "rangemode": "tozero", "automargin": True},
    }
    layout = {"legend": LEGEND, "showlegend": True, "margin": MARGIN, "height": height(traces, 2)}
    return figure(traces, layout | axes)


_ROUND = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
"""Ticks of a log scale that are written out: plotly's own leave the power of ten to the reader."""


def _draw(draw: Callable[[], Plain], tables: dict[str, Lines]) -> Plain | None:
    return draw() if tables else None


def _read(files: dict[str, Path], problems: list[str], gaps: bool = False) -> dict[str, Lines]:
    """The tables that are there and have lines; ``gaps``: cells may be empty."""
    lines_of: dict[str, Lines] = {}
    for name, path in files.items():
        with noting(problems):
            lines = _lines(path, gaps) if path.is_file() else []
            lines_of |= {name: lines} if lines else {}
    return lines_of


def _lines(path: Path, gaps: bool) -> Lines:
    """The lines of a CSV file, every cell a number, finite or not; with ``gaps`` empty ones too, but for the step."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        for line in lines:
            for key, value in line.items():
                if key not in ("class", "actual", "predicted") and not (gaps and value == "" and key != "step"):
                    float(value)
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path}: expected a table of numbers, found something else ({error}). Make it again."
        ) from None
    return lines
