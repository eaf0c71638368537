"""What image tags cannot teach: classes that no training image has, that every one has, or that few have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from models.structures import MAX_CLASSES
from pipeline.problems.notices import Notice, first_of

Tags: TypeAlias = tuple[int, ...] | None
"""Classes of an image, 1..C; None where nothing is known of it."""
FEW = 5
"""Fewer training images than this hardly teach a class."""
ALMOST = 0.02
"""A class that at most this part of the training images lacks is on almost every one."""


def teachable_notices(
    class_names: Sequence[str], splits: Mapping[str, Sequence[Tags]], train: str = "train"
) -> tuple[Notice, ...]:
    """Notices on the classes that the tags of a data set cannot teach.

    Args:
        class_names: C names; class c is ``class_names[c - 1]``.
        splits: split name to the tags of its images. Not for a dry run's few images, of which little can be asked.
        train: the split that is learnt from; without it, or without tags in it, there is nothing to say.
    """
    known = {name: [tags for tags in all_tags if tags is not None] for name, all_tags in splits.items()}
    total = len(known.get(train, ()))
    if not total:
        return ()
    counts = {name: Counter(number for tags in all_tags for number in set(tags)) for name, all_tags in known.items()}
    numbers = range(1, len(class_names) + 1)
    trained = {class_names[number - 1]: counts[train][number] for number in numbers}
    others = {
        class_names[number - 1]: {
            name: counts[name][number] for name in splits if name != train and counts[name][number]
        }
        for number in numbers
    }
    return (
        *_absent(trained, others),
        *_few(trained),
        *_everywhere(trained, total),
        *_together(class_names, known[train], total),
    )


def too_many_for_masks(count: int) -> tuple[Notice, ...]:
    """A notice where masks cannot hold so many classes: what can be made ends at the CAMs."""
    if count <= MAX_CLASSES:
        return ()
    text = (
        f"{count} classes: masks hold at most {MAX_CLASSES}, so the chain ends at the class activation maps (CAMs); no "
        "pseudo-masks, no segmenter. For masks, tag fewer classes, such as groups of them."
    )
    return (Notice("more_classes_than_masks_hold", count, text),)


def _absent(trained: Mapping[str, int], others: Mapping[str, Mapping[str, int]]) -> Iterator[Notice]:
    """Classes without a training image: those that other splits have, and those that none has."""
    elsewhere = [name for name, count in trained.items() if not count and others[name]]
    nowhere = [name for name, count in trained.items() if not count and not others[name]]
    if elsewhere:
        shown = first_of([f"'{n}' ({', '.join(f'{c} of {s} have' for s, c in others[n].items())})" for n in elsewhere])
        text = (
            f"No training image has {shown}: never learnt. Remedy: add images with {_it(elsewhere)} to train, or move "
            "some there."
        )
        yield Notice("class_without_training_image", len(elsewhere), text)
    if nowhere:
        shown = first_of([f"'{n}'" for n in nowhere])
        text = (
            f"No image at all has {shown}: never learnt. Remedy: add images with {_it(nowhere)}, or leave "
            f"{_it(nowhere)} out of the classes."
        )
        yield Notice("class_without_image", len(nowhere), text)


def _few(trained: Mapping[str, int]) -> Iterator[Notice]:
    rare = [name for name, count in trained.items() if 0 < count < FEW]
    if rare:
        shown = first_of([f"'{name}' ({trained[name]})" for name in rare], 5)
        subject = "A class has" if len(rare) == 1 else f"{len(rare)} of {len(trained)} classes have"
        text = f"{subject} fewer than {FEW} training images: {shown}. A few dozen of each class are a beginning."
        yield Notice("class_with_few_training_images", len(rare), text)


def _everywhere(trained: Mapping[str, int], total: int) -> Iterator[Notice]:
    every = [name for name, count in trained.items() if count == total]
    almost = [name for name, count in trained.items() if 0 < total - count <= ALMOST * total]
    for names, how in ((every, f"every training image ({total})"), (almost, f"almost every one of {total} images")):
        if names:
            shown = first_of(
                [f"'{name}'" if trained[name] == total else f"'{name}' ({trained[name]})" for name in names]
            )
            text = (
                f"{_subject(names)} {shown} {_verb(names)} on {how}: tags then say nothing about where {_it(names)} "
                f"{_verb(names)}. Remedy: add images without {_it(names)} (tag them 'background' if they show nothing "
                "else), or label points, scribbles or boxes."
            )
            yield Notice("class_on_every_training_image", len(names), text)


def _together(class_names: Sequence[str], train: Sequence[tuple[int, ...]], total: int) -> Iterator[Notice]:
    """Classes that are on exactly the same images, where these are neither few nor all."""
    places: dict[int, list[int]] = {}
    for place, tags in enumerate(train):
        for number in set(tags):
            places.setdefault(number, []).append(place)
    groups: dict[tuple[int, ...], list[str]] = {}
    for number, there in sorted(places.items()):
        if FEW <= len(there) < total and 1 <= number <= len(class_names):
            groups.setdefault(tuple(there), []).append(class_names[number - 1])
    same = [names for names in groups.values() if len(names) > 1]
    if same:
        shown = first_of([" and ".join(f"'{name}'" for name in names[:3]) for names in same])
        text = (
            f"These classes are always on the same training images: {shown}. Tags cannot tell them apart. Remedy: add "
            "images with one alone, make them one class, or label points, scribbles or boxes."
        )
        yield Notice("classes_always_together", sum(map(len, same)), text)


def _subject(names: Sequence[str]) -> str:
    return "Class" if len(names) == 1 else "Classes"


def _verb(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"
