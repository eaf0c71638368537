"""The CSV of tags: which image has which classes, and in which split it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.errors import DataError
from pipeline.datasets.file_names import nearest_name, nfc, path_id
from pipeline.datasets.folder_images import FolderImages
from pipeline.datasets.tables import TableLine, cut, read_table
from pipeline.datasets.tag_columns import Columns, mark, tag_columns
from pipeline.datasets.tag_words import name_notices, read_words, slips
from pipeline.problems.notices import Notice, first_of
from stages.prepare import Problem

NEAREST = 5
"""So many names are looked for among almost the same ones."""
SPLIT_WORDS = {"training": "train", "tr": "train", "valid": "val", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class TagTable:
    """The CSV of tags.

    Attributes:
        path: of the file.
        rows: one for each image as the CSV names it, with cells "image" and, where it has the column, "split".
        lines: all rows of the file, where ``rows`` has one for several of them.
        tags: names of the tags of each row, None where nothing is said.
        cells_read: what stands in the cell, where nothing is said.
        classes: all names, sorted.
        problems: rows that cannot be used. Until :meth:`match` finds the images, an id is made of the row's cell.
        notices: what was read otherwise than it is written.
    """

    path: Path
    rows: list[TableLine]
    lines: list[TableLine]
    tags: list[list[str] | None]
    cells_read: list[str]
    classes: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, classes: Sequence[str] | None) -> TagTable:
        """Read the table.

        Args:
            path: of the CSV.
            classes: their names, where they are given.

        Raises:
            DataError: no such file, or no table of tags.
        """
        if not path.exists():
            raise DataError(f"{path}: expected a CSV file with columns image, tags, found no such file.")
        header, raw = read_table(path, [])
        given = None if classes is None else [nfc(name) for name in classes]
        taken = tag_columns(path, header, raw, given)
        lines = rows = [_plain(row, taken) for row in raw]
        problems: list[Problem] = []
        if taken.tags is not None:
            words = read_words(raw, taken.tags, given)
            tags, words_of, notices = words.names, words.cells_read, words.notices
            if taken.one_a_row:
                rows, tags, words_of = _merged(rows, tags, words_of)
            named = {name for names in tags if names for name in names}
        else:
            tags, notices = [_marked(row, taken, problems) for row in raw], []
            words_of = ["an empty cell"] * len(raw)
            named = {nfc(name) for name in taken.marks}
        if not named and classes is None:
            if not raw:
                raise DataError(f"{path}: expected a row for each image, found the header alone.")
            expected = "a column 'tags' (or 'tag', a row for each), or a column of 0 and 1 for each class"
            raise DataError(f"{path}: expected {expected}, found no class.")
        counts = Counter(dict.fromkeys(named, 0))
        counts.update(name for names in tags for name in names or ())
        about = [] if classes is not None else list(name_notices(counts))
        notices = [*taken.notices, *notices, *about, *_split_notices(rows)]
        return cls(path, rows, lines, tags, words_of, tuple(sorted(named)), problems, notices)

    @property
    def has_splits(self) -> bool:
        """Whether there is a column of splits."""
        return bool(self.rows) and "split" in self.rows[0].cells

    def match(self, images: FolderImages) -> tuple[list[str | None], list[Problem], list[Notice]]:
        """For each row the path of its image, or None; what is wrong, by the images' ids; loose matches.

        Wrong are rows that cannot be used, images in two splits, and rows and images that do not find each other.

        A row that names an image exactly comes before one that nearly does, and of several that nearly do none counts.

        Raises:
            DataError: no row finds an image.
        """
        matches = [images.index.find(row.cells["image"]) for row in self.rows]
        exact = {hit.path for hit in matches if hit is not None and hit.exactly}
        loose = Counter(hit.path for hit in matches if hit is not None and not hit.exactly)
        paths = [
            hit.path if hit is not None and (hit.exactly or (hit.path not in exact and loose[hit.path] == 1)) else None
            for hit in matches
        ]
        if self.rows and not any(paths):
            raise DataError(self._none_agrees(images))
        claimed = {images.ids[path] for path in paths if path is not None}
        free = [id for id in images.files if id not in claimed]
        problems = [
            *self._of_rows(images, paths),
            *self._without_image(images, paths, free),
            *self._without_row(images, free),
        ]
        nearly = [(row, path) for row, path in zip(self.rows, paths, strict=True) if path and path not in exact]
        return paths, problems, list(self._nearly(nearly))

    def _of_rows(self, images: FolderImages, paths: Sequence[str | None]) -> list[Problem]:
        """What is wrong with rows, under the ids of the images that they mean: a cell may call an image otherwise."""
        found = zip(self.rows, paths, strict=True)
        named = {nfc(row.cells["image"]): images.ids[path] for row, path in found if path is not None}
        ids = {line.where: named.get(nfc(line.cells["image"]), _id_of(line)) for line in self.lines}
        return [*_split_problems(self.lines, ids), *(replace(bad, id=ids[bad.path]) for bad in self.problems)]

    def _none_agrees(self, images: FolderImages) -> str:
        cells = [row.cells["image"] for row in self.rows]
        names = [path for paths in images.files.values() for path in paths]
        near = nearest_name(cells[0], names)
        why = images.why_not(cells[0])
        hint = f" Found {why}." if why else f" Did you mean '{near}'?" if near else ""
        return (
            f"{self.path}: expected the names of images of {images.place}, found {cut(first_of(cells))}; the folder "
            f"of images holds {cut(first_of(names)) or 'none'}. None agree.{hint}"
        )

    def _without_image(
        self, images: FolderImages, paths: Sequence[str | None], free: Sequence[str]
    ) -> Iterator[Problem]:
        lost = [row for row, path in zip(self.rows, paths, strict=True) if path is None]
        for number, row in enumerate(lost):
            cell = row.cells["image"]
            found = images.why_not(cell)
            if not found:
                near = nearest_name(cell, [images.files[id][0] for id in free]) if number < NEAREST else ""
                found = f"'{cut(cell)}'" + (f". Did you mean '{near}'?" if near else "")
            yield Problem(_id_of(row), row.where, f"an image of {images.place}", found)

    def _without_row(self, images: FolderImages, free: Sequence[str]) -> Iterator[Problem]:
        for id in free:
            yield Problem(id, f"{images.place}/{images.files[id][0]}", f"a row in {self.path.name}", "none")

    def _nearly(self, rows: Sequence[tuple[TableLine, str]]) -> Iterator[Notice]:
        if rows:
            row, path = rows[0]
            text = (
                f"{len(rows)} of {len(self.rows)} rows of {self.path} name their image otherwise than the file is "
                f"called, and each can mean one file only: {row.where.rpartition('/')[2]} "
                f"'{cut(row.cells['image'])}' is read as {path}."
            )
            yield Notice("rows_name_images_otherwise", len(rows), text)


def _plain(row: TableLine, taken: Columns) -> TableLine:
    cells = {"image": row.cells[taken.image]}
    if taken.split is not None:
        cells["split"] = row.cells[taken.split]
    return TableLine(row.where, cells)


def _id_of(row: TableLine) -> str:
    """The id that a row's cell asks for, for rows without an image."""
    return path_id(row.cells["image"]) or row.where


def _merged(
    rows: Sequence[TableLine], tags: Sequence[list[str] | None], cells_read: Sequence[str]
) -> tuple[list[TableLine], list[list[str] | None], list[str]]:
    """One row for each image out of one for each image and tag."""
    first: dict[str, int] = {}
    merged: list[tuple[TableLine, list[str] | None, str]] = []
    for row, names, word in zip(rows, tags, cells_read, strict=True):
        place = first.setdefault(nfc(row.cells["image"]), len(merged))
        if place == len(merged):
            merged.append((row, names, word))
        elif names is not None:
            before = merged[place]
            merged[place] = (before[0], [*(before[1] or ()), *names], before[2])
    return [row for row, _, _ in merged], [names for _, names, _ in merged], [word for _, _, word in merged]


def _marked(row: TableLine, taken: Columns, problems: list[Problem]) -> list[str]:
    """Classes of a row of 0 and 1."""
    id = path_id(row.cells[taken.image]) or row.where
    marks = {name: mark(row.cells[name]) for name in (*taken.marks, *([taken.empty] if taken.empty else []))}
    wrong = [f"{name}='{cut(row.cells[name])}'" for name, value in marks.items() if value is None]
    if wrong:
        problems.append(Problem(id, row.where, "0 or 1 for each class", first_of(wrong)))
    names = [nfc(name) for name in taken.marks if marks[name]]
    if taken.empty is not None and marks[taken.empty] and names:
        problems.append(Problem(id, row.where, f"'{taken.empty}' alone, or classes", first_of(names)))
    return names


def _split_problems(rows: Sequence[TableLine], ids: Mapping[str, str]) -> list[Problem]:
    """An image in two splits would be trained on and tested on. ``ids`` are by the rows' places."""
    first: dict[str, str] = {}
    problems = []
    for row in rows:
        id = ids[row.where]
        split = first.setdefault(id, row.cells.get("split", ""))
        if split != row.cells.get("split", ""):
            found = f"'{cut(row.cells['split'])}'"
            problems.append(Problem(id, row.where, f"one split for each image ('{cut(split)}')", found))
    return problems


def _split_notices(rows: Sequence[TableLine]) -> Iterator[Notice]:
    """Names of splits that may be meant to be one, or another."""
    counts = Counter(row.cells["split"] for row in rows if row.cells.get("split"))
    meant: dict[str, list[str]] = {}
    for name in counts:
        small = name.casefold()
        meant.setdefault(SPLIT_WORDS.get(small, small), []).append(name)
    pairs = [tuple(names[:2]) for names in meant.values() if len(names) > 1] + list(slips(counts))
    pairs += [(meant["train"][0], "train")] if "train" in meant and "train" not in counts else []
    if pairs:
        shown = first_of(
            [
                " and ".join(f"'{cut(n)}' ({counts[n]} rows)" for n in sorted(set(p), key=lambda n: counts[n]))
                for p in pairs
            ]
        )
        text = f"Names of splits that may mean the same: {shown}. If so, write them in one way; 'train' is learnt from."
        yield Notice("split_names_alike", len(pairs), text)
