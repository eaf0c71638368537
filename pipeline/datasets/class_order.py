"""Do tags and masks speak of the same classes? And if not: which order of the classes, or which values, would agree?

A data set often has both, written by different tools: a table of tags, whose classes are numbered by their names, and
masks, whose values the labelling tool chose. Images that show some classes and not others tell which value is which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from models.structures import IGNORE
from pipeline.problems.notices import Notice, first_of

EXPLAINED = 0.2
"""Other values explain what differs if at most this share of it is left."""
USUAL = 0.05
"""Up to this share of the images differ in sound data sets: difficult, hidden or forgotten objects."""


@dataclass(frozen=True)
class Labelled:
    """What is said of one image twice.

    Attributes:
        id: the image's.
        tags: classes, 1..C.
        values: of its mask, as they are stored.
    """

    id: str
    tags: frozenset[int]
    values: frozenset[int]


@dataclass(frozen=True)
class MaskValues:
    """Which value of a mask means what: the background's (None: no value does), and each class's, 1..C in order."""

    background: int | None
    classes: tuple[int, ...]

    def shown(self, image: Labelled) -> frozenset[int]:
        """The classes that a mask shows."""
        return frozenset(number for number, value in enumerate(self.classes, start=1) if value in image.values)


def order_notices(
    class_names: Sequence[str], today: MaskValues, images: Sequence[Labelled], option: str
) -> Iterator[Notice]:
    """What to say where tags and masks differ; nothing where they agree.

    Args:
        class_names: C names.
        today: the values as they are read.
        images: those that have tags and a readable mask.
        option: of the reader, that orders the classes, so that the remedy can be written out: "classes" (there is
            ``mask_values`` too) or "names"; "" for none.
    """
    differing = [image for image in images if today.shown(image) != image.tags]
    if not differing:
        return
    better = explanation(len(class_names), today, images)
    text = f"Tags and masks differ for {len(differing)} of {len(images)} images ({_first(differing)}): "
    text += "; ".join(_differences(class_names, today, differing)) + "."
    if better is not None:
        text += f" {_remedy(class_names, today, better, option)}"
    elif len(differing) <= USUAL * len(images):
        text += " So few are usual: objects that are hidden, too difficult or forgotten."
    elif poor := _poor(class_names, today, images):
        text += f" {poor}"
    else:
        text += " Remedy: check that the class numbers of the masks are those of `classes`, and the tags complete."
    yield Notice("tags_and_masks_differ", len(differing), text)


def explanation(num_classes: int, today: MaskValues, images: Sequence[Labelled]) -> MaskValues | None:
    """Other values of the classes under which tags and masks agree, where the images leave no doubt; or None.

    Args:
        num_classes: C.
        today: the values as they are read now.
        images: those that have tags and a mask.
    """
    differing = sum(today.shown(image) != image.tags for image in images)
    values = sorted(frozenset().union(*(image.values for image in images)))
    for better in (*_by_assignment(num_classes, values, images), *_by_structure(num_classes, values)):
        left = sum(better.shown(image) != image.tags for image in images)
        if better.classes != today.classes and left <= EXPLAINED * differing:
            return better
    return None


def _by_structure(num_classes: int, values: Sequence[int]) -> Iterator[MaskValues]:
    """What the values alone suggest: 0 and 255 for a single class, and numbers that are off by one."""
    if num_classes == 1 and set(values) <= {0, IGNORE}:
        yield MaskValues(0, (IGNORE,))
    if 0 not in values:
        yield MaskValues(1, tuple(range(2, num_classes + 2)))
    elif num_classes not in values:
        yield MaskValues(None, tuple(range(num_classes)))


def _by_assignment(num_classes: int, values: Sequence[int], images: Sequence[Labelled]) -> Iterator[MaskValues]:
    """The value of each class that agrees with its tags in most images, where no other choice agrees as well."""
    if len(values) < num_classes:
        return
    from scipy.optimize import linear_sum_assignment  # here: few data sets come this far

    tags = np.array([[c in image.tags for c in range(1, num_classes + 1)] for image in images])
    shown = np.array([[value in image.values for value in values] for image in images])
    agreement = _both(tags, shown) + _both(~tags, ~shown)  # [C, values]: images in which both are, or neither is
    columns = linear_sum_assignment(agreement, maximize=True)[1]
    if _certain(agreement, columns):
        chosen = tuple(values[column] for column in columns)
        rest = [value for value in values if value not in chosen and value != IGNORE]
        yield MaskValues(_background(rest, shown[:, [values.index(value) for value in rest]]), chosen)


def _both(left: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = left.T.astype(np.int64) @ right.astype(np.int64)
    return counts


def _certain(agreement: npt.NDArray[np.int64], columns: npt.NDArray[np.intp]) -> bool:
    """Whether every class is told from the other values: none of them, and no exchange of two, agrees as well."""
    classes = range(len(columns))
    unused = np.setdiff1d(np.arange(agreement.shape[1]), columns)
    agreed = agreement[classes, columns]
    if unused.size and (agreement[:, unused].max(1) >= agreed).any():
        return False
    exchanged = agreement[:, columns]
    return all(exchanged[a, b] + exchanged[b, a] < agreed[a] + agreed[b] for a, b in combinations(classes, 2))


def _background(rest: Sequence[int], shown: npt.NDArray[np.bool_]) -> int | None:
    """0 where it is free, else the value that most masks have."""
    if not rest or 0 in rest:
        return 0 if rest else None
    return rest[int(shown.sum(0).argmax())]


def _differences(names: Sequence[str], today: MaskValues, images: Sequence[Labelled]) -> Iterator[str]:
    """Counts by class of what is tagged and in no mask, and the other way round."""
    for title, only in (
        ("tagged, but not in the mask", lambda image: image.tags - today.shown(image)),
        ("in the mask, but not tagged", lambda image: today.shown(image) - image.tags),
    ):
        counts = {name: sum(number in only(image) for image in images) for number, name in enumerate(names, start=1)}
        named = [f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]) if count]
        if named:
            yield f"{title}: {first_of(named, 5)}"


def _remedy(names: Sequence[str], today: MaskValues, better: MaskValues, option: str) -> str:
    order = [name for _, name in sorted(zip(better.classes, names, strict=True))]
    if better.background == 0 and set(better.classes) == set(today.classes):
        line, what = f"`{option or 'classes'}: {_yaml(order)}`", "in another order of the classes"
    else:
        line, what = f"`mask_values: {_mapping(names, better)}`", _what(better)
    by_option = option and (line.startswith(f"`{option}:") or option == "classes")
    where = f"Remedy: {line} among the data set's options" if by_option else f"Remedy: renumber them ({line})"
    return f"They agree if the masks are read {what}. {where}."


def _poor(names: Sequence[str], today: MaskValues, images: Sequence[Labelled]) -> str:
    """What masks that hold next to nothing cannot say."""
    values = frozenset().union(*(image.values for image in images))
    objects = sorted(values - {today.background} - ({IGNORE} - set(today.classes)))
    apart = f"and cannot tell {len(names)} classes. Remedy: draw each class with a value of its own."
    if not objects and IGNORE in values:
        return f"The masks hold {today.background} and 255 alone, which is void (no class), {apart}"
    if not objects:
        return f"The masks are empty: they hold the value {today.background} alone. Remedy: export them again."
    tagged = frozenset().union(*(image.tags for image in images))
    if len(objects) == 1 and len(tagged) > 1:
        return f"The masks hold one value alone beside the background, {objects[0]}, {apart}"
    return ""


def _what(better: MaskValues) -> str:
    if better.classes == (IGNORE,):
        return "with 255 as the class, not as void"
    if better.background is None:
        return "as masks without background"
    if better.background:
        return f"with {better.background} as the background"
    return "with other values of the classes"


def _mapping(names: Sequence[str], values: MaskValues) -> str:
    background = {} if values.background in (0, None) else {"background": values.background}
    return _yaml(background | dict(zip(names, values.classes, strict=True)))


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.strip()


def values_hint(class_names: Sequence[str], today: MaskValues, maximum: int, values: Sequence[int]) -> str:
    """What masks may mean by values that are no class; empty where the values are as expected.

    Args:
        class_names: C names.
        today: the values as they are read.
        maximum: the largest value that a class of the data set has, kept or not.
        values: all that the masks hold, ascending.
    """
    objects = [value for value in values if value != today.background]
    if IGNORE in objects and (len(objects) > len(class_names) or IGNORE in today.classes):
        objects.remove(IGNORE)
    if all(value <= maximum or value == IGNORE for value in values) and objects != [IGNORE]:
        return ""
    text = f"The masks hold the values {first_of([str(value) for value in values], 8)}."
    if objects == [IGNORE] and len(class_names) > 1:
        return f"{text} Such masks cannot tell {len(class_names)} classes: draw each with a value of its own."
    if len(objects) == len(class_names):
        line = _mapping(class_names, MaskValues(today.background, tuple(objects)))
        return f"{text} If these are the classes in order: `mask_values: {line}`."
    return f"{text} `mask_values: {{{class_names[0]}: {objects[0]}, ...}}` says which value is which class."


def _first(images: Sequence[Labelled]) -> str:
    return first_of([image.id for image in images])
