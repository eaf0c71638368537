"""coco: COCO 2014 or 2017 as published, its masks painted from polygons and run lengths."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from models.errors import ConfigurationError, DataError, closest
from models.structures import IGNORE
from pipeline.datasets.catalogue import Corners
from pipeline.datasets.coco_images import find_images
from pipeline.datasets.coco_json import Instances, id_of, read_instances
from pipeline.datasets.coco_shapes import INSTANCES, LARGEST, MASKS, Crowd, Sketch, paint, read_shape
from pipeline.datasets.images import BadFileError
from pipeline.datasets.lines import read_lines
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.parallel import in_processes
from stages.prepare import Problem, id_problem

OWN_SPLITS = {"train": "train2014", "val": "val2014"}


def coco(
    root: str,
    *,
    splits: dict[str, str] = OWN_SPLITS,
    images: dict[str, str] | None = None,
    lists: dict[str, str] | None = None,
    classes: list[str] | None = None,
    crowd: Literal["void", "paint", "skip"] = "void",
    without_objects: Literal["keep", "skip"] = "keep",
    download: bool = False,
) -> Listing:
    """List COCO, and paint a mask for every image into the ground truth.

    An image's id is its number in twelve digits (other files than COCO's: the name). Objects are painted in the order
    of the file, later ones over earlier ones, with pycocotools. Tags are the classes of an image's annotations, of any
    area, crowds included (as in ReCAM's code); ``annotate`` with ``source: masks`` takes what is left visible instead.
    Boxes come along where all annotations of an image are of one class and none is a crowd; others' are those of their
    instances, which are painted too.

    Args:
        root: folder with annotations/ and the images; relative to the project root. It must be there.
        splits: split name to the name in annotations/instances_NAME.json, or a JSON of that kind under ``root``.
        images: split name to the folder of its images under ``root``. None looks into NAME/, images/NAME/, images/ and
            the like, for the names in the JSON and for twelve digits.
        lists: split name to a text file, relative to the project root, with the images to take, one a line, in order
            (numbers, twelve digits or COCO's names); a split without one takes all.
        classes: names to keep, in the order of their new numbers; pixels of others become void. None keeps all 80 in
            the order of their category ids, numbered from 1 without gaps.
        crowd: regions that hold many objects of a class: "void", under the single objects; "paint", like any other
            object (the masks of HFPL's code); or "skip", background (ReCAM's code). To compare with published numbers,
            take what their code does.
        without_objects: "skip" leaves out images without an annotation of a kept class; of 2014 that leaves the 82,081
            and 40,137 images of the lists that much published work uses ("keep": 82,783 and 40,504).
        download: fetch what the splits need and ``root`` lacks (2014: 19 GB), where there is internet.

    Raises:
        ConfigurationError: unknown class or split.
        DataError: annotations or images that are missing or of another kind, or a failed download.
    """
    for name, named in (("images", images), ("lists", lists)):
        for split in named or {}:
            if split not in splits:
                raise ConfigurationError(f"coco: {name} has an unknown split '{split}'.{closest(split, splits)}")
    base = Path(root)
    if download:
        from pipeline.datasets.coco_download import download_coco

        download_coco(base, list(splits.values()))
    listed: dict[str, list[Listed]] = {}
    sketches: dict[str, Sketch] = {}
    problems: list[Problem] = []
    categories: dict[int, str] = {}
    for split, name in splits.items():
        own = _Split.read(base, name, classes, (images or {}).get(split))
        if categories and own.content.categories != categories:
            raise DataError(f"{own.content.path}: expected the categories of the other splits, found others.")
        categories = own.content.categories
        listed[split] = own.list_all((lists or {}).get(split), without_objects == "skip", sketches, problems)
        del own  # a gigabyte of the training split, before the next one is read
    names = tuple(classes) if classes is not None else tuple(categories.values())
    draw = partial(paint_all, sketches=list(sketches.values()), crowd=crowd)
    kept = tuple(range(1, len(names) + 1))
    return Listing(base.as_posix(), names, listed, kept, len(names), problems, make=draw, truth_root=".")


def paint_all(
    images: Path, truth: Path, workers: int, ids: Collection[str], *, sketches: Sequence[Sketch], crowd: Crowd
) -> list[Problem]:
    """Write masks/ and instances/ of ``ids`` under ``truth``."""
    for folder in (MASKS, INSTANCES):
        (truth / folder).mkdir()
    wanted = [sketch for sketch in sketches if sketch.id in ids]
    found = in_processes(partial(paint, truth=truth, crowd=crowd), wanted, workers, "painting masks")
    return [problem for problems in found for problem in problems]


def _values(categories: dict[int, str], names: Sequence[str]) -> dict[int, int]:
    """Category id to its value in the masks."""
    for name in names:
        if name not in categories.values():
            raise ConfigurationError(f"coco: unknown class '{name}'.{closest(name, categories.values())}")
    return {id: names.index(name) + 1 if name in names else IGNORE for id, name in categories.items()}


@dataclass(frozen=True)
class _Split:
    """One file of annotations, ``values`` by category id, and the folder of its images where one is named."""

    base: Path
    name: str
    content: Instances
    values: dict[int, int]
    folder: str | None

    @classmethod
    def read(cls, base: Path, name: str, classes: Sequence[str] | None, folder: str | None) -> _Split:
        """Raises DataError or ConfigurationError as :func:`coco`."""
        content = read_instances(base / (name if name.endswith(".json") else f"annotations/instances_{name}.json"))
        names = tuple(content.categories.values()) if classes is None else classes
        return cls(base, PurePosixPath(name).stem, content, _values(content.categories, names), folder)

    def list_all(
        self, list_file: str | None, objects_only: bool, sketches: dict[str, Sketch], problems: list[Problem]
    ) -> list[Listed]:
        """The images, with a sketch of each mask; what is wrong with the file goes to ``problems``."""
        problems += self.content.problems
        wanted = self._wanted(list_file, objects_only, problems)
        files = find_images(self.base, self.name, self.folder, [self.content.images[k]["file_name"] for k in wanted])
        return [self._listed(k, file, sketches, problems) for k, file in zip(wanted, files, strict=True)]

    def _wanted(self, list_file: str | None, objects_only: bool, problems: list[Problem]) -> list[int]:
        """Numbers of the images to take."""
        numbers = list(self.content.images)
        if list_file is not None:
            by_id = {id_of(self.content.images[number]["file_name"]): number for number in numbers}
            numbers = []
            for line in read_lines(Path(list_file)):
                id = id_of(PurePosixPath(line.key).name)
                number = by_id.get(id, by_id.get(id.zfill(12)))
                if number is None:
                    problems.append(Problem(id, line.where, f"an image of {self.content.path}", f"'{line.key}'"))
                else:
                    numbers.append(number)
        return [number for number in numbers if not objects_only or self._tags(number)]

    def _listed(self, number: int, file: str, sketches: dict[str, Sketch], problems: list[Problem]) -> Listed:
        """An image, and the sketch of its mask where its size makes sense."""
        entry, path = self.content.images[number], str(self.content.path)
        id, size = id_of(entry["file_name"]), _size(entry)
        where = f"{path} image {number}"
        shapes = []
        for annotation in self.content.annotations.get(number, ()):
            try:
                shapes.append(read_shape(annotation, self.values[annotation["category_id"]]))
            except BadFileError as bad:
                problems.append(Problem(id, f"{path} annotation {annotation.get('id')}", bad.expected, bad.found))
        if size is None:
            found = f"{entry.get('height')} x {entry.get('width')}"
            problems.append(Problem(id, where, "an image with height and width in pixels", found))
            return Listed(id, file, tags=self._tags(number), where=where)
        if id_problem(id, where) is not None:  # is refused later; its file may lead anywhere
            return Listed(id, file, where=where)
        sketches.setdefault(id, Sketch(id, size, tuple(shapes), path))
        masks = f"{MASKS}/{id}.png", f"{INSTANCES}/{id}.png"
        return Listed(id, file, *masks, self._tags(number), where, self._boxes(number), size)

    def _tags(self, number: int) -> tuple[int, ...]:
        found = {self.values[annotation["category_id"]] for annotation in self.content.annotations.get(number, ())}
        return tuple(sorted(found - {IGNORE}))

    def _boxes(self, number: int) -> tuple[Corners, ...] | None:
        """Boxes of an image's only class; some of COCO's own have no area and are left out."""
        own = self.content.annotations.get(number, ())
        if len({annotation["category_id"] for annotation in own}) != 1 or not self._tags(number):
            return None
        corners = [_corners(annotation) for annotation in own]
        if any(annotation.get("iscrowd") for annotation in own) or None in corners:
            return None
        return tuple(box for box in corners if box is not None and box[0] < box[2] and box[1] < box[3]) or None


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1 or height * width > LARGEST:
        return None
    return height, width


def _corners(annotation: dict[str, Any]) -> Corners | None:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(n, int | float) and isfinite(n) for n in box):
        return None
    left, top, width, height = box
    return left, top, left + width, top + height
