"""What may be wrong with a data set as a whole, from what was found image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.datasets.checking import Finding
from pipeline.datasets.class_order import Labelled, MaskValues, order_notices
from pipeline.datasets.listing import Listed, Listing
from pipeline.notices import Notice

REMARKS: dict[str, Callable[[Sequence[tuple[str, str]], int], str]] = {}
"""Topic of a remark -> the sentence that says it, from [(id, detail), ...] and the number of all images."""


def data_notices(listing: Listing, listed: Mapping[str, Listed], findings: Mapping[str, Finding]) -> Iterator[Notice]:
    """What ``prepare`` warns of.

    Args:
        listing: what the reader said.
        listed: by id.
        findings: by id, of the images that were read.
    """
    for topic, sentence in REMARKS.items():
        cases = [(id, detail) for id, found in findings.items() for name, detail in found.remarks if name == topic]
        if cases:
            yield Notice(topic, len(cases), sentence(cases, len(findings)))
    yield from order_notices(
        listing.class_names,
        MaskValues(listing.mask_background, listing.mask_values),
        list(_labelled_twice(listed, findings)),
        options=listing.order_options,
    )


def _labelled_twice(listed: Mapping[str, Listed], findings: Mapping[str, Finding]) -> Iterator[Labelled]:
    """The images that have tags and a mask."""
    for id, found in findings.items():
        tags = listed[id].tags
        if tags is not None and found.mask_values is not None:
            yield Labelled(id, frozenset(tags), frozenset(found.mask_values))
