"""How long a person needs for labels: published seconds, by kind of supervision.

Bearman et al. 2016 (arXiv 1506.02106, section 5) timed annotators on PASCAL VOC: a second for each class to say whether
an image has it, 2.4 s for the first point of a class, 10.9 s for a scribble, 79 s for the outline of an object. Boxes
take 7 s by extreme clicking (Papadopoulos et al. 2017, arXiv 1708.02750). Bellver et al. 2019 compare these figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SECONDS_A_CLASS = 1.0
"""To say of one class whether an image has it; asked of every class of the data set."""
SECONDS_A_CLASS_MARKED = {"points": 2.4, "scribbles": 10.9}
"""For a class that is there, in place of that second: a mark on one of its objects."""
SECONDS_AN_OBJECT = {"boxes": 7.0, "masks": 79.0}
"""For each object of a class that is there, in place of that second."""
OBJECTS_A_CLASS = 2.8 / 1.5
"""Objects of a class that is in an image: VOC has 2.8 objects of 1.5 classes in an image (Bearman et al. 2016)."""
TIMED = ("tags", *SECONDS_A_CLASS_MARKED, *SECONDS_AN_OBJECT)


def label_seconds(kinds: Iterable[str], classes: int, present: float) -> float:
    """Seconds of a person for one image.

    Which classes there are is asked once, whatever the kinds.

    Args:
        kinds: of :data:`TIMED`, all that the image has.
        classes: of the data set, background not counted.
        present: of them, how many the image has.

    Raises:
        KeyError: a kind without published seconds.
    """
    marks = [
        SECONDS_A_CLASS_MARKED[kind] if kind in SECONDS_A_CLASS_MARKED else OBJECTS_A_CLASS * SECONDS_AN_OBJECT[kind]
        for kind in sorted(set(kinds) - {"tags"})
    ]
    return SECONDS_A_CLASS * (classes - present) + present * (sum(marks) if marks else SECONDS_A_CLASS)


def mixture_seconds(parts: Mapping[str, float], classes: int, present: float) -> float:
    """Expected seconds for one image that has one of several kinds; ``parts``: kind -> its share of the images."""
    return sum(share * label_seconds([kind], classes, present) for kind, share in parts.items())
