"""One file of COCO's annotations: its images with their tags, boxes and sketches of their masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import ConfigurationError, closest
from models.structures import IGNORE
from pipeline.datasets.coco_agree import Agreement
from pipeline.datasets.coco_boxes import check_boxes, corners, refuse_shares
from pipeline.datasets.coco_images import ROOTS, ImagePlace, find_images
from pipeline.datasets.coco_json import Instances, Key, read_instances
from pipeline.datasets.coco_names import id_of, ids_apart, plain_name
from pipeline.datasets.coco_shapes import LARGEST, Sketch, read_shape
from pipeline.datasets.coco_values import short, whole_number
from pipeline.datasets.ground_truth import Corners
from pipeline.datasets.image_formats import SUFFIXES
from pipeline.datasets.images import BadFileError
from pipeline.datasets.lines import read_lines
from pipeline.datasets.listing import Listed
from pipeline.problems.notices import Notice
from stages.prepare import Problem


@dataclass
class Tally:
    """What is counted over the files of a data set, for its notices; class counts by category name."""

    images: int = 0
    annotations: Counter[str] = field(default_factory=Counter)
    crowds: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    boxes: int = 0
    points: int = 0
    bare: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    notices: list[Notice] = field(default_factory=list)


def annotations_path(base: Path, name: str) -> Path:
    """The file of a split: a JSON under the root, or COCO's own of that name."""
    return base / (name if name.endswith(".json") else f"annotations/instances_{name}.json")


@dataclass(frozen=True)
class Split:
    """One file of annotations, ``values`` by category id, and the folders where its images may lie.

    What it lists is called by its path below the root; ids are given when all files are read.
    """

    base: Path
    content: Instances
    values: Mapping[int, int]
    folders: Sequence[str]

    @classmethod
    def read(cls, base: Path, name: str, classes: Sequence[str] | None, folder: str | None) -> Split:
        """Raises DataError or ConfigurationError as :func:`pipeline.datasets.coco.coco`."""
        path = annotations_path(base, name)
        content = read_instances(path)
        names = tuple(content.categories.values()) if classes is None else classes
        stem = PurePosixPath(name).stem
        beside = [PurePosixPath(name).parent.as_posix()] if name.endswith(".json") else []
        usual = [stem, *(f"{root}/{stem}" for root in ROOTS), *ROOTS, ".", *beside]
        folders = list(dict.fromkeys(usual)) if folder is None else [folder]
        return cls(base, content, _values(content.categories, names), folders)

    def image_names(self) -> dict[Key, str]:
        """Names of the images that the file lists, as :func:`pipeline.datasets.coco_images.find_images` wants them."""
        return {number: plain_name(entry["file_name"]) for number, entry in self.content.images.items()}

    def list_all(
        self,
        list_file: str | None,
        objects_only: bool,
        sketches: dict[str, Sketch],
        problems: list[Problem],
        tally: Tally,
    ) -> list[Listed]:
        """The images, with a sketch of each mask; what is wrong with the file goes to ``problems``."""
        wanted = self._wanted(list_file, objects_only, problems)
        names = self.image_names()
        places = find_images(self.base, self.folders, [names[number] for number in wanted])
        paths = {names[number]: one.path for number, one in zip(wanted, places, strict=True)}
        problems += [replace(bad, id=paths.get(bad.id, bad.id)) for bad in self.content.problems]
        self._count(wanted, names, places, tally)
        sketch_of: dict[str, Sketch] = {}
        agreement = Agreement()
        items = [
            self._listed(k, one, sketch_of, problems, tally, agreement) for k, one in zip(wanted, places, strict=True)
        ]
        refuse_shares(
            self.content.path, [p for one in sketch_of.values() for shape in one.shapes for p in shape.polygons or ()]
        )
        tally.notices += agreement.notices(self.content.path)
        if all(shape.box is not None for one in sketch_of.values() for shape in one.shapes):
            sketch_of.clear()  # no mask of the file has an object: the empty ones say nothing either
        drawn = {path: one for path, one in sketch_of.items() if _is_drawn(one)}
        tally.bare += [item.id for item in items if item.size is not None and item.id not in drawn]
        tally.mixed += [path for path, one in drawn.items() if any(shape.box is not None for shape in one.shapes)]
        for path, sketch in drawn.items():
            sketches.setdefault(path, sketch)
        return items

    def _wanted(self, list_file: str | None, objects_only: bool, problems: list[Problem]) -> list[Key]:
        """Numbers of the images to take."""
        numbers = list(self.content.images)
        if list_file is not None:
            by_name = _by_name(self.image_names())
            numbers = []
            for line in read_lines(Path(list_file), "\n"):
                number = next((by_name[key] for key in _keys(line.key) if key in by_name), None)
                if number is None:
                    name, found = plain_name(line.key), f"'{short(line.key)}'"
                    problems.append(Problem(name, line.where, f"an image of {self.content.path}", found))
                else:
                    numbers.append(number)
        return [number for number in numbers if not objects_only or self._tags(number)]

    def _count(
        self, wanted: Sequence[Key], names: Mapping[Key, str], places: Sequence[ImagePlace], tally: Tally
    ) -> None:
        taken = set(wanted)
        tally.images += len(wanted)
        tally.others |= {name for number, name in names.items() if number not in taken}
        tally.elsewhere += [
            f"{short(self.content.images[number]['file_name'])} as {one.path}"
            for number, one in zip(wanted, places, strict=True)
            if one.elsewhere
        ]
        tally.empty += [one.path for k, one in zip(wanted, places, strict=True) if k not in self.content.annotations]
        for of_image in self.content.annotations.values():
            for annotation in of_image:
                name = self.content.categories[annotation["category_id"]]
                tally.annotations[name] += 1
                tally.crowds[name] += annotation["iscrowd"]
        tally.notices += check_boxes(self.content.path, list(self._corners(wanted)))

    def _corners(self, wanted: Sequence[Key]) -> Iterator[tuple[Corners, tuple[int, int]]]:
        for number in wanted:
            size = _size(self.content.images[number])
            for annotation in self.content.annotations.get(number, ()):
                box = corners(annotation)
                if box is not None and size is not None:
                    yield box, size

    def _listed(
        self,
        number: Key,
        place: ImagePlace,
        sketches: dict[str, Sketch],
        problems: list[Problem],
        tally: Tally,
        agreement: Agreement,
    ) -> Listed:
        """An image, and the sketch of its mask where its size makes sense."""
        entry, path, file = self.content.images[number], str(self.content.path), place.path
        size, where = _size(entry), f"{path} image {short(number)}"
        if place.rivals:
            problems.append(_ambiguous(place, where, entry))
        if size is None:
            stated = f"{short(entry.get('height'))} x {short(entry.get('width'))}"
            problems.append(Problem(file, where, "an image with height and width in pixels", stated))
            return Listed(file, file, tags=self._tags(number), where=where)
        shapes = []
        for annotation in self.content.annotations.get(number, ()):
            try:
                shapes.append(read_shape(annotation, self.values[annotation["category_id"]], size))
                agreement.add(shapes[-1], corners(annotation), size)
            except BadFileError as bad:
                problems.append(Problem(file, f"{path} annotation {annotation['id']}", bad.expected, bad.found))
        tally.boxes += sum(shape.box is not None for shape in shapes)
        tally.points += sum(shape.points > 0 for shape in shapes)
        sketches.setdefault(file, Sketch(file, size, tuple(shapes), path, file))
        return Listed(file, file, None, None, self._tags(number), where, self._boxes(number), size)

    def _tags(self, number: Key) -> tuple[int, ...]:
        classes = {self.values[annotation["category_id"]] for annotation in self.content.annotations.get(number, ())}
        return tuple(sorted(classes - {IGNORE}))

    def _boxes(self, number: Key) -> tuple[Corners, ...] | None:
        """Boxes of an image's only class; some of COCO's own have no area and are left out."""
        annotations = self.content.annotations.get(number, ())
        if len({annotation["category_id"] for annotation in annotations}) != 1 or not self._tags(number):
            return None
        boxes = [corners(annotation) for annotation in annotations]
        if any(annotation["iscrowd"] for annotation in annotations) or None in boxes:
            return None
        return tuple(box for box in boxes if box is not None and box[0] < box[2] and box[1] < box[3]) or None


def _is_drawn(sketch: Sketch) -> bool:
    """An image without annotations is background; one whose annotations are boxes alone has no mask."""
    return not sketch.shapes or any(shape.box is None for shape in sketch.shapes)


def _ambiguous(place: ImagePlace, where: str, entry: Mapping[str, Any]) -> Problem:
    name = short(entry["file_name"])
    if len(place.rivals) == 1:
        seen = f"{place.rivals[0]}, which is another listed image's too"
    else:
        seen = f"{len(place.rivals)}: {', '.join(place.rivals[:3])}"
    return Problem(place.path, where, f"one file for '{name}' (name its folder in `images`)", seen)


def _keys(line: str) -> Iterator[str]:
    """What a line of a list may call its image: all of the line, or its first word, where others stand behind it."""
    yield plain_name(line)
    first = line.split()[0]
    words = [first] if first.lower().endswith(SUFFIXES) else [line, first]
    for name in map(plain_name, words):
        yield from (name, id_of(name), id_of(name).zfill(12))


def _by_name(names: Mapping[Key, str]) -> dict[str, Key]:
    """Numbers by what a list may call an image: its path, its id, and its stem where no other image has it."""
    stems = Counter(id_of(name) for name in names.values())
    apart = ids_apart(names.values())
    by_name: dict[str, Key] = {}
    for number, name in names.items():
        keys = [name, apart[name], *([id_of(name)] if stems[id_of(name)] == 1 else [])]
        for key in keys:
            by_name.setdefault(key, number)
    return by_name


def _values(categories: Mapping[int, str], names: Collection[str]) -> dict[int, int]:
    """Category id to its value in the masks."""
    order = list(names)
    for name in order:
        if name not in categories.values():
            raise ConfigurationError(f"coco: unknown class '{name}'.{closest(name, categories.values())}")
    return {id: order.index(name) + 1 if name in order else IGNORE for id, name in categories.items()}


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = whole_number(entry.get("height")), whole_number(entry.get("width"))
    if height is None or width is None or min(height, width) < 1 or height * width > LARGEST:
        return None
    return height, width
