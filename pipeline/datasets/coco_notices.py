"""What may be wrong with COCO's annotations, counted over all files of a data set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pipeline.datasets.coco_shapes import Crowd
from pipeline.datasets.coco_split import Tally
from pipeline.problems.notices import Notice, first_of

MANY_CROWDS = 0.1
"""Share of annotations; of COCO's own it is one in a hundred."""
MANY_EMPTY = 0.1
"""Share of images; of COCO's own it is one in a hundred."""
MOST_NAMES = 20
"""Classes that a line to copy holds."""
BACKGROUNDS = ("background", "bg", "unlabeled", "unlabelled", "void", "none")


def coco_notices(
    tally: Tally, names: Sequence[str], chosen: bool, crowd: Crowd, missing: Sequence[str]
) -> list[Notice]:
    """Notices of a data set.

    Args:
        tally: of all its files.
        names: of its classes.
        chosen: the user named them in ``classes``.
        crowd: what is done with crowds.
        missing: image files that no file lists.
    """
    notices = [
        *tally.notices,
        *(_crowds(tally, names, crowd) if crowd != "paint" else ()),
        *_categories(tally, names, chosen),
        *_regions(tally),
        *_images(tally, missing),
    ]
    return list(notices)


def _crowds(tally: Tally, names: Sequence[str], crowd: Crowd) -> Iterator[Notice]:
    become = "void (255)" if crowd == "void" else "background"
    remedy = "If they are single objects (CVAT's brush writes them so), set `crowd: paint`."
    total = sum(tally.annotations[name] for name in names)
    crowds = sum(tally.crowds[name] for name in names)
    only = [name for name in names if 0 < tally.annotations[name] == tally.crowds[name]]
    if crowds and crowds == total:
        text = f"All {total} annotations are crowds (iscrowd 1), whose pixels become {become}: no pixel has a class."
        yield Notice("all_annotations_crowd", crowds, f"{text} {remedy}")
    elif only:
        text = f"All annotations of {len(only)} of {len(names)} classes are crowds (iscrowd 1): {first_of(only)}. "
        yield Notice(
            "class_all_crowd", len(only), f"{text}Their pixels become {become}, and no pixel has the class. {remedy}"
        )
    elif crowds > MANY_CROWDS * total:
        text = f"{crowds} of {total} annotations are crowds (iscrowd 1), whose pixels become {become}."
        yield Notice("many_crowds", crowds, f"{text} {remedy}")


def _categories(tally: Tally, names: Sequence[str], chosen: bool) -> Iterator[Notice]:
    without = [name for name in names if not tally.annotations[name]]
    if without:
        kept = [name for name in names if tally.annotations[name]]
        words = "Category has" if len(without) == 1 else f"{len(without)} categories have"
        text = f"{words} no annotation: {first_of(_quoted(without), 10)}."
        yield Notice("categories_without_annotation", len(without), f"{text} {_leaving_out(kept)}")
    backgrounds = [name for name in names if tally.annotations[name] and _word(name) in BACKGROUNDS]
    if backgrounds and not chosen:
        count = sum(tally.annotations[name] for name in backgrounds)
        kept = [name for name in names if name not in backgrounds]
        text = f"{first_of(_quoted(backgrounds))} is taken as a class like any other ({count} annotations); pixels "
        text += "without annotation are background anyway."
        yield Notice("background_category", count, f"{text} {_leaving_out(kept)} Its pixels become void (255).")
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_word(name), []).append(name)
    same = [" and ".join(_quoted(group)) for group in alike.values() if len(group) > 1]
    if same:
        text = (
            f"Categories whose names differ in capitals, blanks or signs alone are several classes: {first_of(same)}."
        )
        yield Notice("categories_alike", len(same), f"{text} If they are one class, give them one name in the JSON.")


def _leaving_out(kept: Sequence[str]) -> str:
    line = f"`classes: [{', '.join(map(_yaml, kept))}]`" if len(kept) <= MOST_NAMES else "`classes` with the others"
    return f"{line} leaves {'it' if kept else 'them'} out." if kept else "No class is left."


def _yaml(name: str) -> str:
    """A name as an item of a YAML list."""
    plain = name.replace("_", "a").replace("-", "a").replace(" ", "a")
    return name if plain.isalnum() and name == name.strip() and not name[0].isdigit() else f'"{name}"'


def _regions(tally: Tally) -> Iterator[Notice]:
    total = sum(tally.annotations.values())
    if tally.boxes:
        text = f"{tally.boxes} of {total} annotations have a bbox and no segmentation."
        if tally.bare:
            text += (
                f" {len(tally.bare)} of {tally.images} images have no mask, as there are no regions: masks cannot be "
                "evaluated against them, and no labels but tags derived. `import_annotations` with `kind: boxes` and "
                "`file:` this JSON reads the boxes as labels."
            )
        if tally.mixed:
            text += (
                f" In {len(tally.mixed)} images with other regions ({first_of(tally.mixed)}) the pixels of these boxes "
                "are void (255)."
            )
        yield Notice("annotations_without_segmentation", tally.boxes, text)
    if tally.points:
        text = f"{tally.points} of {total} annotations have polygons of fewer than three points; these hold no pixel."
        yield Notice("polygons_of_two_points", tally.points, f"{text} They are left out.")


def _images(tally: Tally, unlisted: Sequence[str]) -> Iterator[Notice]:
    if tally.elsewhere:
        text = (
            f"{len(tally.elsewhere)} of {tally.images} images lie elsewhere than file_name says and were found by its "
        )
        text += f"last part: {first_of(tally.elsewhere)}. Each fits one file alone."
        yield Notice("images_found_by_name", len(tally.elsewhere), text)
    if unlisted:
        files = "image file lies" if len(unlisted) == 1 else "image files lie"
        text = f"{len(unlisted)} {files} beside the listed ones and is in no JSON of `splits`: {first_of(unlisted)}."
        yield Notice("images_not_listed", len(unlisted), f"{text} Not used; add them to a JSON if they should be.")
    if len(tally.empty) > MANY_EMPTY * tally.images:
        text = f"{len(tally.empty)} of {tally.images} images have no annotation ({first_of(tally.empty)}): all their "
        text += "pixels are taken as background. If they are not labelled yet, set `without_objects: skip`."
        yield Notice("images_without_annotation", len(tally.empty), text)


def _word(name: str) -> str:
    return "".join(mark for mark in name.casefold() if mark.isalnum())


def _quoted(names: Collection[str] | Mapping[str, object]) -> list[str]:
    return [f"'{name}'" for name in names]
