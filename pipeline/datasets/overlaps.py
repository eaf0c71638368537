"""Images that are learnt from and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.problems.notices import Notice, first_of

LEARNT = "train"
TESTED = ("val", "valid", "validation", "test", "testing", "dev")


def overlap_notices(splits: Mapping[str, Sequence[str]], contents: Mapping[str, str]) -> Iterator[Notice]:
    """One notice for each split to test on whose images are training images too, under the same or another name.

    Splits of other names may lie in each other, as VOC's ``trainval`` does.

    Args:
        splits: name -> ids.
        contents: id -> a hash of the image file; empty where it could not be read.
    """
    learnt: dict[str, str] = {}
    for name, ids in splits.items():
        if _words(name)[0] == LEARNT and not any(word in TESTED for word in _words(name)):
            for id in ids:
                learnt.setdefault(contents.get(id) or id, id)
    for name, ids in splits.items():
        if _words(name)[0] not in TESTED:
            continue
        shared = {id: learnt[key] for id in ids if (key := contents.get(id) or id) in learnt}
        if shared:
            pairs = [id if id == other else f"{id}, which is {other} in {LEARNT}" for id, other in shared.items()]
            text = (
                f"{len(shared)} of {len(ids)} images of {name} are learnt from too, so that numbers on {name} say too "
                f"much: {first_of(pairs)}. Remedy: leave them out of one of the splits."
            )
            yield Notice("images_learnt_and_tested", len(shared), text)


def _words(name: str) -> list[str]:
    return name.casefold().replace("-", "_").split("_")
