"""Pascal VOC: an XML with boxes or polygons for each image, and masks of colours with a label map."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from models.errors import DataError
from models.structures import IGNORE
from pipeline.annotations.tools.drawn import Bitmap, DrawnImage, Export, Region, Shape
from pipeline.annotations.tools.values import corners
from pipeline.datasets.images import BadFileError, image_size
from pipeline.datasets.labelmap import LabelMap
from pipeline.datasets.voc_xml import read_voc_xml

VOID = "void"


def add(export: Export, path: Path) -> None:
    """Add the image of an XML: a file without objects says that there are none. "difficult" is unsure."""
    try:
        content = read_voc_xml(path)
    except DataError as error:
        export.problems.append(str(error))
        return
    image = DrawnImage(path.stem, str(path), content.size, content.image, empty=not content.objects)
    export.images.append(image)
    for place, item in enumerate(content.objects, start=1):
        where = f"{path} object {place}"
        try:
            box = corners(*item.box)
        except ValueError as error:
            export.problems.append(f"{where}: expected xmin < xmax and ymin < ymax, found {error}")
            continue
        if len(item.outline) > 2:
            outline = np.array(item.outline)
            image.shapes.append(Shape("area", item.name, where, outline, unsure=item.difficult))
        else:
            image.shapes.append(Shape("box", item.name, where, box, unsure=item.difficult))


def add_masks(export: Export, path: Path, folder: Path, files: list[Path]) -> None:
    """Add a mask of colours for each image; each class in it is one area, and what is void is too.

    Args:
        export: is added to.
        path: of the file that says what the colours mean.
        folder: of the masks; a mask in a folder there is of the image in a folder of that name.
        files: the masks.

    Raises:
        DataError: ``path`` says nothing of the kind.
    """
    labelmap = LabelMap.read(path)
    for name in labelmap.names:
        export.declare(name)
    for file in files:
        try:
            size = image_size(file)
            indices = labelmap.indices(file)
        except BadFileError as error:
            export.problems.append(f"{file}: {error}")
            continue
        values = np.unique(indices).tolist()
        name = file.relative_to(folder).with_suffix("").as_posix()
        image = DrawnImage(name, str(file), size, empty=values == [0])
        export.images.append(image)
        for value in values:
            if value:
                class_name = VOID if value == IGNORE else labelmap.names[value - 1]
                bitmap = Bitmap(0, 0, size, partial(_pixels, labelmap, file, value))
                image.shapes.append(Shape("area", class_name, str(file), bitmap=bitmap))


def _pixels(labelmap: LabelMap, path: Path, value: int) -> Region:
    try:
        return np.asarray(labelmap.indices(path) == value)
    except BadFileError as error:
        raise ValueError(str(error)) from None
