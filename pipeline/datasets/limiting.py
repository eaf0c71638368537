"""The first images of each split, for a dry run: chosen from the lists, before any image is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.datasets.listing import Listing


def limited(listing: Listing, limit: int) -> Listing:
    """At most ``limit`` images of each split, in their order, and what is wrong with the lists of these alone."""
    ids = {split: [item.id for item in items] for split, items in listing.splits.items()}
    kept = {split: set(chosen) for split, chosen in first_images(ids, limit).items()}
    splits = {split: [item for item in items if item.id in kept[split]] for split, items in listing.splits.items()}
    dropped = {id for named in ids.values() for id in named}.difference(*kept.values())
    return replace(listing, splits=splits, problems=[bad for bad in listing.problems if bad.id not in dropped])


def first_images(splits: Mapping[str, Sequence[str]], limit: int) -> dict[str, list[str]]:
    """The first ids of each split, in its order; what a smaller split has taken comes first in a larger one.

    So do splits that lie in each other (VOC's ``train`` in ``train_aug``) keep images in common.
    """
    taken: set[str] = set()
    kept: dict[str, list[str]] = {}
    for split in sorted(splits, key=lambda name: len(splits[name])):
        ids = list(dict.fromkeys(splits[split]))
        chosen = set(sorted(ids, key=lambda id: id not in taken)[:limit])
        kept[split] = [id for id in ids if id in chosen]
        taken |= chosen
    return {split: kept[split] for split in splits}
