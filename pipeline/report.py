"""A folder to open in a browser: index.html and its pictures, with nothing to load from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.structures import Cam, Image, Mask
from pipeline.pictures import Caption, cam_heat, class_labels, colours, overlay
from pipeline.table import Results

COLUMNS = ("image", "CAM", "refined CAM", "pseudo-mask", "prediction", "ground truth")
PICTURES = "pictures"


@dataclass(frozen=True)
class Row:
    """One image and everything known about it: the pictures below each column title; a column may stay away.

    Attributes:
        id: image id.
        cells: column title to captioned pictures, RGB uint8 [H,W,3].
        labels: the classes 1..C that the row shows, for the legend.
        section: rows of one section (a split) share a table.
    """

    id: str
    cells: dict[str, list[Caption]]
    labels: tuple[int, ...] = ()
    section: str = ""


@dataclass(frozen=True)
class RowBuilder:
    """Collects the pictures of one image."""

    id: str
    image: Image
    class_names: Sequence[str]
    section: str = ""
    cells: dict[str, list[Caption]] = field(default_factory=dict)
    labels: set[int] = field(default_factory=set)

    def cam(self, column: str, cam: Cam) -> None:
        """A heat map for each class of a CAM."""
        self.cells[column] = [
            (self.class_names[label - 1], cam_heat(self.image, scores))
            for label, scores in zip(cam.classes.tolist(), cam.scores, strict=True)
        ]

    def mask(self, column: str, mask: Mask) -> None:
        """A mask or the seeds of a supervision, over the image."""
        labels = class_labels(mask, self.class_names)
        self.labels.update(labels)
        caption = ", ".join(self.class_names[label - 1] for label in labels) or "no class"
        self.cells[column] = [(caption, overlay(self.image, mask))]

    def row(self) -> Row:
        """The row, with the image itself in front."""
        return Row(
            self.id, {COLUMNS[0]: [(self.id, self.image)]} | self.cells, tuple(sorted(self.labels)), self.section
        )


def write_gallery(
    folder: Path,
    rows: Sequence[Row],
    class_names: Sequence[str],
    title: str = "weak2mask",
    results: Results | None = None,
    plots: Sequence[Caption] = (),
) -> Path:
    """Write ``folder/index.html`` and ``folder/pictures/*.png``; return the path of the page.

    Each section has a table of its own. Columns come in the order of :data:`COLUMNS` ("prediction: full" counts as
    "prediction"), others after them; a column that no row of a section has is left out.

    Args:
        folder: made if need be; pictures of an earlier gallery in it are replaced.
        rows: one for each image.
        class_names: the C foreground classes, for the legend.
        title: of the page.
        results: the results table above the pictures.
        plots: captioned pictures between the table and the rows.
    """
    from jinja2 import Environment, StrictUndefined

    pictures = folder / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.png"):
        old.unlink()
    names = list(dict.fromkeys(row.section for row in rows))
    sections = [_section(pictures, k, [row for row in rows if row.section == name]) for k, name in enumerate(names)]
    for section, name in zip(sections, names, strict=True):
        section["name"] = name
        for row in section["rows"]:
            row["labels"] = [{"name": class_names[label - 1], "colour": _hex(label)} for label in row["labels"]]
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        PAGE
    )
    index = folder / "index.html"
    content = {"title": title, "sections": sections, "results": results}
    index.write_text(page.render(content, plots=_save(pictures, "plot", plots)), encoding="utf-8")
    return index


def _section(pictures: Path, number: int, rows: Sequence[Row]) -> dict[str, Any]:
    """Columns and rows of one table, its pictures saved."""
    columns = sorted({column for row in rows for column in row.cells}, key=_order)
    shown = [
        {
            "id": row.id,
            "labels": row.labels,
            "cells": [
                _save(pictures, f"{number}_{i:04d}_{j}", row.cells.get(column, [])) for j, column in enumerate(columns)
            ],
        }
        for i, row in enumerate(rows)
    ]
    return {"columns": columns, "rows": shown}


def _order(column: str) -> tuple[int, str]:
    kind = column.partition(":")[0]
    return (COLUMNS.index(kind) if kind in COLUMNS else len(COLUMNS), column)


def _save(folder: Path, stem: str, captions: Sequence[Caption]) -> list[dict[str, str | int]]:
    from PIL import Image as Pictures

    saved: list[dict[str, str | int]] = []
    for number, (caption, picture) in enumerate(captions):
        name = f"{stem}_{number}.png"
        Pictures.fromarray(np.ascontiguousarray(picture)).save(folder / name)
        height, width = picture.shape[:2]
        saved.append({"caption": caption, "source": f"{PICTURES}/{name}", "width": width, "height": height})
    return saved


def _hex(label: int) -> str:
    red, green, blue = colours()[label].tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fafafa; }
h1 { font-size: 1.4rem; }
table { border-collapse: collapse; }
.results { margin: 1rem 0; background: #fff; }
.results th, .results td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
.results th:nth-child(-n+3), .results td:nth-child(-n+3) { text-align: left; }
.note { color: #555; margin: .2rem 0; }
.gallery { width: 100%; table-layout: fixed; }
.gallery th { position: sticky; top: 0; background: #fafafa; text-align: left; padding: .4rem; z-index: 1; }
.gallery td { vertical-align: top; padding: .4rem; border-top: 1px solid #ddd; }
figure { margin: 0 0 .5rem; }
figcaption { font-size: .85rem; color: #444; overflow-wrap: anywhere; }
img { width: 100%; height: auto; display: block; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots figure { max-width: 32rem; }
.chip { display: inline-block; margin-right: .6rem; font-size: .85rem; white-space: nowrap; }
.chip i { display: inline-block; width: .8em; height: .8em; margin-right: .25em; border: 1px solid #888; }
.none { color: #999; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if results %}
<table class="results">
<tr>{% for column in results.columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in results.cells %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% for note in results.notes %}
<p class="note">{{ note }}</p>
{% endfor %}
{% endif %}
<div class="plots">
{% for plot in plots %}
<figure><figcaption>{{ plot.caption }}</figcaption>
<a href="{{ plot.source }}"><img src="{{ plot.source }}" alt="{{ plot.caption }}"></a></figure>
{% endfor %}
</div>
<p class="note">CAMs from blue (0) to red (1). Masks: a tint and a contour for each class;
white stripes are void, grey is unlabelled. A picture opens in full size.</p>
{% for section in sections %}
{% if section.name %}<h2>{{ section.name }}</h2>{% endif %}
<table class="gallery">
<tr>{% for column in section.columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in section.rows %}
<tr>
{% for cell in row.cells %}
<td>
{% for picture in cell %}
<figure><figcaption>{{ picture.caption }}</figcaption><a href="{{ picture.source }}"><img loading="lazy"
src="{{ picture.source }}" width="{{ picture.width }}" height="{{ picture.height }}"
alt="{{ row.id }}: {{ picture.caption }}"></a></figure>
{% else %}
<span class="none">none</span>
{% endfor %}
{% if loop.first %}
{% for label in row.labels %}
<span class="chip"><i style="background: {{ label.colour }}"></i>{{ label.name }}</span>
{% endfor %}
{% endif %}
</td>
{% endfor %}
</tr>
{% endfor %}
</table>
{% endfor %}
</body>
</html>
"""
