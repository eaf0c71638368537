"""The store of mask proposals, as run lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from models.errors import DataError
from models.ops.run_lengths import region_of_runs, runs_of
from models.structures import Proposals
from pipeline.storage.header import Header
from pipeline.storage.reader import Store
from pipeline.storage.shards import Array, Attributes, Shard
from pipeline.storage.writer import SHARD_SIZE, Writer


class ProposalWriter(Writer[Proposals]):
    """Writes the run lengths of all masks of an image as one row of whole numbers; scores are attributes."""

    schema = "proposals"

    def encode(self, first: int, items: Sequence[Proposals]) -> tuple[dict[str, list[Array]], Attributes]:
        rows: list[Array] = []
        attributes: Attributes = {"runs": [], "scores": []}
        for position, item in enumerate(items, first):
            self._check(position, item)
            runs = [runs_of(mask) for mask in item.masks]
            rows.append(np.concatenate([*runs, np.zeros(0, np.int64)]).astype(np.uint32)[None, None])
            attributes["runs"].append([len(each) for each in runs])
            attributes["scores"].append(item.scores.tolist())
        return {"part": [row if row.size else np.zeros((1, 1, 1), np.uint32) for row in rows]}, attributes

    def merge(self, of_shards: Iterable[Attributes]) -> Attributes:
        return {"counts": [len(runs) for shard in of_shards for runs in shard["runs"]]}

    def _check(self, position: int, item: Proposals) -> None:
        size = self.header.sizes[position]
        if item.masks.ndim != 3 or item.masks.shape[1:] != size or item.masks.dtype != np.bool_:
            raise self.fail(position, f"masks bool [M,{size[0]},{size[1]}]", f"{item.masks.dtype} {item.masks.shape}")
        if not item.masks.any((1, 2)).all():
            raise self.fail(position, "masks with pixels", "an empty one")
        scores = item.scores
        if scores.dtype != np.float32 or scores.shape != item.masks.shape[:1]:
            raise self.fail(position, f"scores float32 [{len(item.masks)}]", f"{scores.dtype} {list(scores.shape)}")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise self.fail(position, "scores in [0,1]", f"[{scores.min():.4g},{scores.max():.4g}]")


class ProposalStore(Store[Proposals]):
    """Class-agnostic masks with scores, by image."""

    schema = "proposals"

    @staticmethod
    def create(
        path: Path, header: Header, shard_size: int = SHARD_SIZE, fingerprint: str | None = None
    ) -> ProposalWriter:
        """Start a store of the proposals of each image of the header."""
        writer = ProposalWriter(path, header, shard_size)
        writer.begin(fingerprint)
        return writer

    @property
    def counts(self) -> list[int]:
        """How many each image has, in the order of the ids."""
        counts: list[int] = self.attributes["counts"]
        return counts

    def decode(self, shard: Shard, position: int) -> Proposals:
        row, size = position % self.shard_size, self.index.size(position)
        lengths = shard.attributes["runs"][row]
        runs = shard.planes("part", slice(row, row + 1), (1, sum(lengths)))[0, 0].astype(np.int64)
        masks = np.zeros((len(lengths), *size), np.bool_)
        try:
            for mask, (start, end) in zip(masks, pairwise(accumulate(lengths, initial=0)), strict=True):
                mask[:] = region_of_runs(runs[start:end], size)
        except ValueError as error:
            raise DataError(f"{self.path}: image '{self.ids[position]}': expected masks, found {error}.") from None
        return Proposals(masks, np.array(shard.attributes["scores"][row], np.float32))
