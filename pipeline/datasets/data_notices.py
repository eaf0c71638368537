"""What may be wrong with a data set as a whole, from what was found image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.datasets.checking import Finding
from pipeline.datasets.listing import Listing
from pipeline.notices import Notice

REMARKS: dict[str, Callable[[Sequence[tuple[str, str]], int], str]] = {}
"""Topic of a remark -> the sentence that says it, from [(id, detail), ...] and the number of all images."""


def data_notices(listing: Listing, findings: Mapping[str, Finding]) -> Iterator[Notice]:
    """Notices of the images that are kept.

    Args:
        listing: what the reader said.
        findings: by id, of the kept images, in the catalogue's order.
    """
    for topic, sentence in REMARKS.items():
        cases = [(id, detail) for id, found in findings.items() for name, detail in found.remarks if name == topic]
        if cases:
            yield Notice(topic, len(cases), sentence(cases, len(findings)))
