"""Small catalogues and annotation files for the tests of their readers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from pipeline.annotations.build import check_annotations
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.problems.notices import Notice

SIZE = (64, 96)
"""(H, W) of every image."""


def catalogue_of(
    ids: Sequence[str] = ("q0", "q1", "q2", "q3", "q4", "q5"),
    classes: Sequence[str] = ("cat", "dog"),
    tags: Mapping[str, tuple[int, ...]] | None = None,
    size: tuple[int, int] = SIZE,
    **more: Any,
) -> Catalogue:
    """Images without files: no reader of annotations opens them."""
    entries = {id: CatalogueImage(id, f"images/{id}.png", size, None if tags is None else tags.get(id)) for id in ids}
    return Catalogue("mine", tuple(classes), {"train": tuple(ids)}, entries, **more)


def notices_of(kind: str, file: Path, catalogue: Catalogue | None = None, **options: Any) -> list[Notice]:
    """Notices about a file."""
    chosen = catalogue or catalogue_of()
    return check_annotations(kind, chosen, chosen.ids("train"), {"file": str(file), **options})


def refused(kind: str, file: Path, catalogue: Catalogue | None = None, **options: Any) -> str:
    """The message with which a file is refused; at most a screen."""
    with pytest.raises(DataError) as error:
        notices_of(kind, file, catalogue, **options)
    assert len(str(error.value)) < 6000
    return str(error.value)


def csv_of(path: Path, rows: Sequence[Sequence[object]], header: str = "image,class,x1,y1,x2,y2") -> Path:
    """A table."""
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def xml_of(folder: Path, id: str, objects: Sequence[tuple[str, Sequence[float]]], size: tuple[int, int] | None) -> Path:
    """A VOC XML; ``size`` is (W, H), as it stands there."""
    folder.mkdir(exist_ok=True)
    keys = ("xmin", "ymin", "xmax", "ymax")
    items = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners, strict=True))
        + "</bndbox></object>"
        for name, corners in objects
    )
    stated = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    path = folder / f"{id}.xml"
    path.write_text(f"<annotation><filename>{id}.png</filename>{stated}{items}</annotation>", encoding="utf-8")
    return path


def coco_of(path: Path, boxes: Mapping[str, Sequence[tuple[str, Sequence[float]]]], **image: Any) -> Path:
    """COCO's JSON with boxes x, y, width, height by the id of their image."""
    names = sorted({name for items in boxes.values() for name, _ in items} | {"cat"})
    images = [{"id": n, "file_name": f"{id}.png", "width": 96, "height": 64, **image} for n, id in enumerate(boxes)]
    annotations = [
        {"id": 10 * n + k, "image_id": n, "category_id": names.index(name) + 1, "bbox": list(box), "segmentation": []}
        for n, items in enumerate(boxes.values())
        for k, (name, box) in enumerate(items)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
