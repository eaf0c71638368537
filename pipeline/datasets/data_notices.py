"""What may be wrong with a data set as a whole, from what was found image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.datasets import masks, photos
from pipeline.datasets.checking import Finding
from pipeline.datasets.class_order import Labelled, MaskValues, order_notices, values_hint
from pipeline.datasets.listing import Listed, Listing
from pipeline.problems.notices import Notice, first_of

REMARKS: dict[str, Callable[[Sequence[tuple[str, str]], int], str]] = {**photos.SENTENCES, **masks.SENTENCES}
"""Topic of a remark -> the sentence that says it, from [(id, detail), ...] and the number of all images."""


def data_notices(listing: Listing, listed: Mapping[str, Listed], findings: Mapping[str, Finding]) -> Iterator[Notice]:
    """What ``prepare`` warns of.

    Args:
        listing: what the reader said.
        listed: by id.
        findings: by id, of the images that were read.
    """
    for topic, sentence in REMARKS.items():
        cases = [(id, detail) for id, finding in findings.items() for name, detail in finding.remarks if name == topic]
        if cases:
            yield Notice(topic, len(cases), sentence(cases, len(findings)))
    today = MaskValues(listing.mask_background, listing.mask_values)
    differing = list(
        order_notices(listing.class_names, today, list(_labelled_twice(listed, findings)), option=listing.order_option)
    )
    yield from differing or _values_notices(listing, today, findings)


def _values_notices(listing: Listing, today: MaskValues, findings: Mapping[str, Finding]) -> Iterator[Notice]:
    """Values that no class has, where masks are all that is known."""
    values = [value for finding in findings.values() for value in finding.mask_values or ()]
    hint = values_hint(listing.class_names, today, listing.mask_maximum, sorted(set(values)))
    if hint:
        usual = {today.background, *range(listing.mask_maximum + 1)}
        odd = [id for id, finding in findings.items() if not usual.issuperset(finding.mask_values or ())]
        yield Notice("values_of_no_class", len(odd), f"{len(odd)} masks ({first_of(odd)}): {hint}")


def _labelled_twice(listed: Mapping[str, Listed], findings: Mapping[str, Finding]) -> Iterator[Labelled]:
    """The images that have tags and a mask."""
    for id, finding in findings.items():
        tags = listed[id].tags
        if tags is not None and finding.mask_values is not None:
            yield Labelled(id, frozenset(tags), frozenset(finding.mask_values))
