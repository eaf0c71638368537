"""Masks of colours: a file says what each colour means, and indices are made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError, DataError, closest
from models.structures import BACKGROUND, IGNORE, MAX_CLASSES, Mask
from pipeline.datasets.class_names import VOC_CLASSES
from pipeline.datasets.coco_values import short, whole_number
from pipeline.datasets.images import LOSSY, REFUSED, BadFileError, opened, write_indices
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.parallel import in_processes
from pipeline.datasets.regular import read_regular
from pipeline.datasets.voc_colours import voc_palette
from stages.prepare import Problem

Colour: TypeAlias = tuple[int, int, int]
VOC = "voc"
BACKGROUNDS = ("background", "_background_", "__background__", "bg")
VOIDS = ("void", "ignore", "ignored", "_ignore_", "__ignore__", "unlabeled", "unlabelled")
BORDER: Colour = (224, 224, 192)
"""VOC's own void."""
MASKS, INSTANCES = "masks", "instances"
META_KEYS = {"label_map", "segmentation_colors"}
"""Of Datumaro's dataset_meta.json."""
_NUMBERS = r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})"
_LINES = (
    re.compile(rf"(?P<name>.*\S)\s*[:,;\t]\s*[\[(]?\s*{_NUMBERS}\s*[\])]?\s*(?:[:,;].*)?"),
    re.compile(rf"{_NUMBERS}[\s,;]+(?P<name>\S.*)"),
)
"""``name:r,g,b:parts:actions`` (CVAT), ``name,r,g,b``, ``name: [r, g, b]``; and ``r g b name`` (CamVid)."""


@dataclass(frozen=True)
class LabelMap:
    """What colours mean.

    Attributes:
        source: the file, for messages.
        names: the K classes in the order of the file, without background and void.
        values: colour to 0 (background), 1..K, or 255 (void).
    """

    source: str
    names: tuple[str, ...]
    values: Mapping[Colour, int]

    @classmethod
    def read(cls, path: Path) -> LabelMap:
        """Read CVAT's labelmap.txt, a CSV of name, r, g, b, lines ``r g b name``, or JSON of names and colours.

        Classes called background (or like) and void (ignored, unlabelled, ...) are these. Where no class is the
        background, black is, and VOC's border colour is void unless it is a class's.

        Raises:
            DataError: no such file, a line that is none of these, or a colour or a name that stands twice.
        """
        names: list[str] = []
        values: dict[Colour, int] = {}
        for where, name, colour in _entries(path):
            kind = name.lower()
            value = BACKGROUND if kind in BACKGROUNDS else IGNORE if kind in VOIDS else len(names) + 1
            if colour in values or name in names:
                raise DataError(f"{where}: expected each name and each colour once, found '{name}' {colour} again.")
            values[colour] = value
            if value not in (BACKGROUND, IGNORE):
                names.append(name)
        if not names:
            raise DataError(f"{path}: expected a line NAME:R,G,B for each class, found no class.")
        if BACKGROUND not in values.values():
            values.setdefault((0, 0, 0), BACKGROUND)
        values.setdefault(BORDER, IGNORE)
        return cls(str(path), tuple(names), values)

    @classmethod
    def of(cls, named: str, folder: Path) -> LabelMap:
        """The file ``named`` in ``folder`` or relative to the project root; "voc" are VOC's own colours."""
        if named == VOC:
            palette = [tuple(colour) for colour in voc_palette().tolist()]
            values = {palette[value]: value for value in range(len(VOC_CLASSES) + 1)}
            return cls("VOC's palette", VOC_CLASSES, {**values, BORDER: IGNORE})
        return cls.read(folder / named if (folder / named).is_file() else Path(named))

    def numbered(self, names: Sequence[str]) -> LabelMap:
        """With the numbers of ``names`` (1..C); other classes become void.

        Raises:
            ConfigurationError: a name that the map lacks.
        """
        for name in names:
            if name not in self.names:
                raise ConfigurationError(f"{self.source}: no colour of class '{name}'.{closest(name, self.names)}")
        new = {old: names.index(name) + 1 if name in names else IGNORE for old, name in enumerate(self.names, start=1)}
        return LabelMap(
            self.source, tuple(names), {colour: new.get(value, value) for colour, value in self.values.items()}
        )

    def indices(self, path: Path) -> Mask:
        """uint8 [H,W] of a file of colours: RGB, or a palette.

        Raises:
            BadFileError: not such a file, or colours that have no meaning.
        """
        with opened(path, "a mask of colours") as picture:
            if picture.format in LOSSY:
                raise BadFileError("a PNG of colours", "JPEG, which changes them. Write the masks as PNG")
            if picture.mode in REFUSED or picture.mode.startswith("I"):
                raise BadFileError("a mask of colours", f"a file of mode {picture.mode}. Leave `labelmap` out")
            grey = picture.mode in ("L", "1")
            pixels = np.asarray(picture.convert("RGB")).astype(np.int32)
        codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
        known, meant = self._table
        place = np.searchsorted(known, codes).clip(max=len(known) - 1)
        wrong = codes[known[place] != codes]
        if wrong.size:
            hint = ". Leave `labelmap` out if the values are class numbers" if grey else ""
            raise BadFileError(f"the colours of {self.source}", f"{self._unknown(wrong)}{hint}")
        indices: Mask = meant[place]
        return indices

    @cached_property
    def _table(self) -> tuple[npt.NDArray[np.int32], Mask]:
        """Colours as numbers, ascending, and their values."""
        pairs = sorted((red << 16 | green << 8 | blue, value) for (red, green, blue), value in self.values.items())
        return np.array([code for code, _ in pairs], np.int32), np.array([value for _, value in pairs], np.uint8)

    def _unknown(self, codes: npt.NDArray[np.int32]) -> str:
        """The most frequent unknown colour, its nearest known one, and how many more."""
        unknown, counts = np.unique(codes, return_counts=True)
        first = int(unknown[counts.argmax()])
        colour = (first >> 16, first >> 8 & 255, first & 255)
        near = min(self.values, key=lambda known: sum((a - b) ** 2 for a, b in zip(known, colour, strict=True)))
        value = self.values[near]
        name = {BACKGROUND: "background", IGNORE: "void"}.get(value) or self.names[value - 1]
        more = f" and {len(unknown) - 1} other colours ({codes.size - counts.max()} pixels)" if len(unknown) > 1 else ""
        smoothed = "; were the masks made smaller, smoothed or JPEG once?" if len(unknown) > 5 else ""
        return f"{colour} in {counts.max()} pixels (nearest: {name} {near}){more}{smoothed}"


def coloured(listing: Listing, colours: LabelMap) -> Listing:
    """The same images, their masks (and VOC's coloured instances) made of colours into the ground truth."""
    root = Path(listing.root)
    items = {item.id: item for listed in listing.splits.values() for item in listed if item.mask is not None}
    sources = [
        _Source(item.id, root / str(item.mask), root / item.instances if item.instances else None)
        for item in items.values()
    ]

    def placed(item: Listed) -> Listed:
        mask, instances = f"{MASKS}/{item.id}.png", item.instances and f"{INSTANCES}/{item.id}.png"
        if item.mask is None:
            return replace(item, instances=None)
        return replace(item, mask=mask, instances=instances, mask_from=str(root / item.mask))

    splits = {name: [placed(item) for item in listed] for name, listed in listing.splits.items()}
    make = partial(convert_all, sources=sources, colours=colours)
    return replace(listing, splits=splits, make=make, truth_root=".")


@dataclass(frozen=True)
class _Source:
    id: str
    mask: Path
    instances: Path | None


def convert_all(
    images: Path, truth: Path, workers: int, ids: Collection[str], *, sources: Sequence[_Source], colours: LabelMap
) -> list[Problem]:
    """Write masks/ and instances/ of ``ids`` under ``truth``."""
    for folder in (MASKS, INSTANCES):
        (truth / folder).mkdir()
    wanted = [source for source in sources if source.id in ids]
    results = in_processes(partial(_convert, truth=truth, colours=colours), wanted, workers, "reading coloured masks")
    return [problem for problems in results for problem in problems]


def _convert(source: _Source, truth: Path, colours: LabelMap) -> list[Problem]:
    """Where a file is bad, a mask of void stands in for it, since the problem has been told."""
    problems = []
    todo = [(source.mask, MASKS, colours)]
    todo += [] if source.instances is None else [(source.instances, INSTANCES, _instance_colours())]
    for path, folder, known in todo:
        try:
            write_indices(truth / folder / f"{source.id}.png", known.indices(path))
        except BadFileError as bad:
            problems.append(Problem(source.id, str(path), bad.expected, bad.found))
    return problems


def _instance_colours() -> LabelMap:
    """VOC's palette, by number."""
    colours = {tuple(colour): number for number, colour in enumerate(voc_palette().tolist()[: MAX_CLASSES + 1])}
    names = tuple(f"instance {number}" for number in range(1, MAX_CLASSES + 1))
    return LabelMap("VOC's palette", names, {**colours, BORDER: IGNORE})


def _entries(path: Path) -> Iterator[tuple[str, str, Colour]]:
    """(place, name, colour) of each class."""
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError:
        raise DataError(f"{path}: expected a file with a line NAME:R,G,B for each class, found no such file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, found other bytes ({error}).") from None
    if text.lstrip()[:1] in ("{", "["):
        yield from _of_json(path, text)
        return
    first = True
    for number, line in enumerate(text.splitlines(), start=1):
        plain = line.strip().rstrip(",")
        if not plain or plain.startswith("#"):
            continue
        where, match = f"{path} line {number}", next((m for form in _LINES if (m := form.fullmatch(plain))), None)
        if match is not None:
            colour = [int(match[key]) for key in _groups(match)]
            yield where, match["name"].strip().strip("'\"").strip(), _checked(where, colour, colour)
        elif not (first and not any(mark.isdigit() for mark in plain)):  # a table's header
            raise DataError(f"{where}: expected NAME:R,G,B with 0..255 for each, found '{plain[:80]}'.")
        first = False


def _groups(match: re.Match[str]) -> list[int]:
    """The numbers' groups: those that are not the name."""
    name = match.re.groupindex["name"]
    return [group for group in range(1, 5) if group != name]


def _of_json(path: Path, text: str) -> Iterator[tuple[str, str, Colour]]:
    """``{name: [r, g, b]}``, ``[{"name": ..., "color": "#rrggbb"}]`` (CVAT's raw labels), or Datumaro's meta file."""
    try:
        content: Any = json.loads(text)
        for name, colour in _pairs(content):
            where = f"{path} '{name}'"
            if isinstance(colour, str):
                if re.fullmatch(r"#[0-9a-fA-F]{6}", colour) is None:
                    raise DataError(f"{where}: expected a colour [r, g, b] or '#rrggbb', found '{short(colour)}'.")
                colour = bytes.fromhex(colour[1:])
            numbers = [whole_number(value) for value in colour]
            yield where, str(name), _checked(where, numbers, list(colour))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        kind = type(error).__name__
        raise DataError(f'{path}: expected JSON as {{"cat": [64, 0, 0]}}, found another kind ({kind}).') from None


def _pairs(content: Any) -> Iterable[tuple[Any, Any]]:
    """(name, colour) of each class; Datumaro lists the colours in the order of the numbers of its label map."""
    if not isinstance(content, dict):
        return [(item["name"], item["color"]) for item in content]
    if content.keys() >= META_KEYS:
        names = [content["label_map"][key] for key in sorted(content["label_map"], key=int)]
        return zip(names, content["segmentation_colors"], strict=True)
    return content.items()


def _checked(where: str, numbers: Sequence[int | None], written: Sequence[Any]) -> Colour:
    """A colour of three whole numbers; None is what is ``written`` and is none, such as shares of 1."""
    red, green, blue = numbers if len(numbers) == 3 else (None, None, None)
    if red is None or green is None or blue is None or not all(0 <= value <= 255 for value in (red, green, blue)):
        remedy = " Remedy: multiply shares of 1 by 255, and round." if None in numbers else ""
        found = short(list(written)[:5])
        raise DataError(f"{where}: expected a colour of three whole numbers 0..255, found {found}.{remedy}")
    return red, green, blue
