"""What is written in cells of tags: class names, the background, words for nothing, several names in one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.datasets.file_names import nfc
from pipeline.datasets.tables import TableLine, cut
from pipeline.problems.notices import Notice, first_of

BACKGROUND_ONLY = "background"
"""In a tags cell: the image was looked at and shows none of the classes."""
_BACKGROUND = ("background", "backgrounds", "backgroundonly", "bg")
_NO_CLASS = (
    "none", "nan", "null", "nil", "na", "n/a", "#n/a", "noobject", "noobjects", "noclass", "nolabel", "nolabels",
    "notag", "notags", "nothing", "empty", "unlabeled", "unlabelled", "unannotated", "", "0.0", "nat",
)  # fmt: skip
READ_APART: dict[str, Callable[[Iterable[bool]], bool]] = {",": all, "|": any}
"""Between class names, where all (of a comma) or any (of a stroke, which no name has) are found elsewhere too."""
SIGNS = ("/", "&", "+", "#", "*", "~", "\\", "=", "，", "、", "；")
SUSPECT = (*SIGNS, " and ", " und ", " et ", " ", "_", "-", ":", ".")
"""Perhaps between class names, or part of one. Names seldom have a sign, so that it is enough if what it separates is
separated elsewhere too."""
ALIKE_ONCE, ALIKE_TIMES = 2, 5
"""A name that few images have is looked at beside one letter's difference from a name that many times more have."""


def is_background(word: str) -> bool:
    """Another way to write ``background``."""
    return _bare(word) in _BACKGROUND


def is_no_class(word: str) -> bool:
    """A word for nothing, or for a cell without a value: no class."""
    return _bare(word) in _NO_CLASS


def _bare(word: str) -> str:
    return re.sub(r"[\s_<>\[\](){}'\"?.\-]", "", word).casefold()


@dataclass(frozen=True)
class Words:
    """Cells of tags as they are read.

    Attributes:
        names: class names of each row; None where a row says nothing.
        cells_read: for rows of None, what stands there.
        notices: what was read otherwise than it is written.
    """

    names: list[list[str] | None]
    cells_read: list[str]
    notices: list[Notice] = field(default_factory=list)


def read_words(rows: Sequence[TableLine], column: str, classes: Collection[str] | None) -> Words:
    """Read the cells of a column: class names separated by ``;``.

    Args:
        rows: of the table.
        column: of the tags.
        classes: names that are given and therefore classes, whatever they look like.
    """
    known = {nfc(name) for name in classes or ()}
    cells = [_split(row.cells[column]) for row in rows]
    lists = _Lists(cells, known)
    names: list[list[str] | None] = []
    cells_read, counted = [], _Counted()
    for row, words in zip(rows, cells, strict=True):
        apart = [name for word in words for name in lists.apart(word, row)]
        kept = [name for name in apart if name in known or not (is_background(name) or is_no_class(name))]
        ground = [name for name in apart if name not in kept and is_background(name)]
        nothing = [name for name in apart if name not in kept and name not in ground]
        counted.row(row, kept, ground, nothing)
        names.append(list(dict.fromkeys(kept)) if kept or ground else None)
        cells_read.append(f"'{nothing[0]}'" if nothing else "an empty cell")
    return Words(names, cells_read, [*lists.notices(), *counted.notices()])


def _split(cell: str) -> list[str]:
    """Names between ``;`` or on lines of their own; brackets and quotes of a list that a program wrote are cut off."""
    text = nfc(cell).strip()
    if len(text) > 1 and (text[0], text[-1]) in (("[", "]"), ("(", ")"), ("{", "}")):
        quoted = re.findall(r"'([^']*)'|\"([^\"]*)\"", text[1:-1])
        words = [a or b for a, b in quoted] if quoted else re.split(r"[,;]", text[1:-1])
    else:
        words = re.split(r"[;\r\n\t\v]", text)
    return [_unquoted(word.strip()) for word in words if word.strip()]


def _unquoted(word: str) -> str:
    return word[1:-1].strip() if len(word) > 2 and word[0] == word[-1] and word[0] in "'\"" else word


class _Lists:
    """Names in one cell that are separated by something else than ``;``."""

    def __init__(self, cells: Iterable[Sequence[str]], known: Collection[str]) -> None:
        self._known = known
        counts = Counter(word for words in cells for word in words)
        self._alone = set(counts) | set(known)
        pieces = Counter(p for word in counts for sep in READ_APART for p in set(_pieces(word, sep)))
        self._pieces = {piece for piece, count in pieces.items() if count > 1}
        shared = Counter(piece for word in counts for sep in SIGNS for piece in set(_pieces(word, sep)))
        self._shared = self._alone | {piece for piece, count in shared.items() if count > 1}
        self._rows: dict[str, list[str]] = {}
        self._suspects = {word: (sep, counts[word]) for word in sorted(counts) if (sep := self._suspect(word))}
        self._open = {
            word: counts[word]
            for word in sorted(counts)
            if word not in known and any(sep in word for sep in READ_APART) and not self._separator(word)
        }

    def _separator(self, word: str) -> str:
        """By which a name is read apart; "" for a name that stays whole."""
        if word in self._known:
            return ""
        for sep, enough in READ_APART.items():
            pieces = _pieces(word, sep)
            if len(pieces) > 1 and enough(p in self._alone or p in self._pieces or is_background(p) for p in pieces):
                return sep
        return ""

    def _suspect(self, word: str) -> str:
        if word in self._known:
            return ""
        for sep in SUSPECT:
            pieces = _pieces(word, sep)
            if len(pieces) > 1 and all(piece in (self._shared if sep in SIGNS else self._alone) for piece in pieces):
                return sep
        return ""

    def apart(self, word: str, row: TableLine) -> list[str]:
        """The names in a word."""
        sep = self._separator(word)
        if not sep:
            return [word]
        self._rows.setdefault(word, []).append(row.where)
        return _pieces(word, sep)

    def notices(self) -> Iterator[Notice]:
        if self._rows:
            word, places = next(iter(self._rows.items()))
            sep = self._separator(word)
            count = sum(map(len, self._rows.values()))
            parts = " and ".join(f"'{piece}'" for piece in _pieces(word, sep))
            text = (
                f"{places[0]}: class '{cut(word)}' is made of other classes' names and is read as {parts}. "
                f"{count} cells are read so. Separate them by ';'."
            )
            yield Notice("names_read_apart", count, text)
        if self._suspects:
            shown = first_of([f"'{cut(word)}' ({count})" for word, (_, count) in self._suspects.items()])
            text = (
                f"Class {shown} is made of other classes' names, but is taken for a class of its own. If it means "
                "several classes, separate them by ';'."
            )
            yield Notice("names_made_of_names", len(self._suspects), text)
        if self._open:
            shown = first_of([f"'{cut(word)}' ({count})" for word, count in self._open.items()])
            text = f"Class names with ',' or '|' are taken as they stand: {shown}. Several names are separated by ';'."
            yield Notice("names_with_separators", len(self._open), text)


def _pieces(word: str, sep: str) -> list[str]:
    return [piece.strip() for piece in word.split(sep) if piece.strip()]


class _Counted:
    """Rows that name the background otherwise, or nothing, or either beside classes."""

    def __init__(self) -> None:
        self._spelled: dict[str, list[str]] = {}
        self._beside: list[str] = []

    def row(self, row: TableLine, kept: Sequence[str], ground: Sequence[str], nothing: Sequence[str]) -> None:
        for word in ground:
            if word != BACKGROUND_ONLY:
                self._spelled.setdefault(word, []).append(row.where)
        if (kept and (ground or nothing)) or (ground and nothing):
            self._beside.append(row.where)

    def notices(self) -> Iterator[Notice]:
        if self._spelled:
            count = sum(map(len, self._spelled.values()))
            words = first_of([f"'{word}'" for word in self._spelled])
            first = next(iter(self._spelled.values()))[0]
            text = f"{count} rows say {words} ({first} first): read as '{BACKGROUND_ONLY}', which is no class."
            yield Notice("background_spelled_otherwise", count, text)
        if self._beside:
            text = (
                f"{len(self._beside)} rows name the background, or nothing, beside classes ({self._beside[0]} first): "
                "the classes count."
            )
            yield Notice("background_beside_classes", len(self._beside), text)


def name_notices(counts: Mapping[str, int]) -> Iterator[Notice]:
    """Class names that look like the same name, or like no name.

    Args:
        counts: class name to the number of images that have it.
    """
    alike: dict[str, list[str]] = {}
    for name in sorted(counts):
        alike.setdefault(_written(name), []).append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    if groups:
        pairs = first_of([" and ".join(f"'{cut(n)}' ({counts[n]})" for n in names[:4]) for names in groups])
        text = (
            f"Classes that differ in capitals, blanks, punctuation or a plural only: {pairs}. If they are one, write "
            "it in one way."
        )
        yield Notice("class_names_alike", sum(map(len, groups)), text)
    near = list(slips(counts))
    if near:
        pairs = first_of(
            [f"'{cut(rare)}' ({counts[rare]}) beside '{cut(often)}' ({counts[often]})" for rare, often in near]
        )
        text = f"Classes that may be slips of the pen: {pairs}. If so, write them as the others are written."
        yield Notice("class_names_misspelled", len(near), text)
    numbers = sorted(name for name in counts if re.fullmatch(r"-?\d+(\.\d+)?", name))
    if numbers:
        zero = "; 0 is a class of its own then, not the background" if {"0", "0.0"} & set(numbers) else ""
        text = f"Class names are numbers ({first_of(numbers)}){zero}. Write names, and '{BACKGROUND_ONLY}' for none."
        yield Notice("class_names_are_numbers", len(numbers), text)


def _written(name: str) -> str:
    """A name without what people write now so, now so."""
    plain = re.sub(r"[\W_]+", "", name.casefold())
    for end, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("s", "")):
        if plain.endswith(end) and len(plain) > len(end) + 2 and not plain.endswith("ss"):
            return plain.removesuffix(end) + instead
    return plain or name


def slips(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Rare names that are one letter away from a frequent one."""
    rare = [name for name, count in counts.items() if count <= ALIKE_ONCE and len(name) > 2]
    for name in sorted(rare)[:100]:
        for other, count in counts.items():
            often = count >= ALIKE_TIMES * max(1, counts[name])
            if often and abs(len(name) - len(other)) <= 1 and _one_apart(name.casefold(), other.casefold()):
                yield name, other
                break


def _one_apart(one: str, two: str) -> bool:
    """Whether one letter was changed, added, left out, or two were exchanged. Digits number classes: no slips."""
    if one == two or re.sub(r"\d", "", one) == re.sub(r"\d", "", two) or _written(one) == _written(two):
        return False
    start = next((k for k, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    left, right = one[start:], two[start:]
    return (
        left[1:] == right[1:] or left[1:] == right or left == right[1:]
        or (left[:2] == right[1::-1] and left[2:] == right[2:])
    )  # fmt: skip
