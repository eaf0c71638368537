"""True masks in place of what a person would correct: for the photos that `label-loop` chose, as CVAT exports them.

python -m benchmarks.by_hand ROUND TRUTH

ROUND is the folder of `label-loop ... --as cvat`, TRUTH the masks of `benchmarks.photos --masks`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from pipeline.datasets.images import read_indices
from pipeline.inference.coco import coco_segments
from pipeline.inference.label_loop import CORRECTED, IMAGES, LIST
from pipeline.inference.tools.export import write_for
from pipeline.inference.tools.images import How, LabelledImage


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("round", type=Path)
    parser.add_argument("truth", type=Path)
    given = parser.parse_args(arguments)
    exported = ElementTree.parse(given.round / "cvat" / "annotations.xml")
    class_names = tuple(label.findtext("name") or "" for label in exported.iter("label"))
    with (given.round / LIST).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = []
    for row in rows:
        mask = read_indices(given.truth / f"{row['image']}.png").astype(np.uint8)
        path = given.round / IMAGES / row["file"]
        images.append(LabelledImage(row["image"], row["file"], path, mask.shape, coco_segments(mask)))
    write_for("cvat", images, given.round / CORRECTED, How(class_names))
    print(f"{given.round / CORRECTED}: the true masks of {len(images)} photos")


if __name__ == "__main__":
    main()
