"""The store of mask proposals: what goes in comes out, whatever the shards, and what is wrong stays out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import DataError
from models.structures import Proposals
from pipeline.storage.header import Header
from pipeline.storage.proposals import ProposalStore

SIZES = ((20, 30), (7, 5), (10, 10))
HEADER = Header(("a", "b", "c"), SIZES, ("cat",), "digest")
COUNTS = (4, 0, 1)


def made(position: int) -> Proposals:
    rng = np.random.default_rng(position)
    masks = rng.random((COUNTS[position], *SIZES[position])) < 0.4
    return Proposals(masks, rng.random(COUNTS[position], dtype=np.float32))


def written(path: Path, shard_size: int) -> ProposalStore:
    writer = ProposalStore.create(path, HEADER, shard_size)
    for k in range(writer.count):
        writer.write(k, [made("abc".index(id)) for id in writer.shard_ids(k)])
    return ProposalStore(writer.finish())


@pytest.mark.parametrize("shard_size", [1, 2, 64])
def test_proposals_come_back(tmp_path: Path, shard_size: int) -> None:
    store = written(tmp_path / "store", shard_size)
    assert store.counts == list(COUNTS)
    for position, (id, found) in enumerate(store):
        assert id == "abc"[position]
        np.testing.assert_array_equal(found.masks, made(position).masks)
        np.testing.assert_array_equal(found.scores, made(position).scores)
        assert found.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("proposals", "message"),
    [
        (Proposals(np.ones((1, 7, 6), bool), np.ones(1, np.float32)), r"masks bool \[M,7,5\]"),
        (Proposals(np.zeros((1, 7, 5), bool), np.ones(1, np.float32)), "masks with pixels, found an empty one"),
        (Proposals(np.ones((1, 7, 5), bool), np.ones(2, np.float32)), r"scores float32 \[1\]"),
        (Proposals(np.ones((1, 7, 5), bool), np.full(1, 1.5, np.float32)), r"scores in \[0,1\]"),
        (Proposals(np.ones((1, 7, 5), bool), np.full(1, np.nan, np.float32)), r"scores in \[0,1\]"),
    ],
)
def test_what_does_not_fit_its_image_is_refused(tmp_path: Path, proposals: Proposals, message: str) -> None:
    writer = ProposalStore.create(tmp_path / "store", HEADER, shard_size=1)
    with pytest.raises(DataError, match=message):
        writer.write(1, [proposals])


def test_runs_that_were_changed_are_noticed(tmp_path: Path) -> None:
    """Checksums of the chunks (CRC32C) tell a flipped byte."""
    written(tmp_path / "store", 64)
    chunk = tmp_path / "store" / "part_00000" / "c" / "0" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[10] ^= 255
    chunk.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        dict(ProposalStore(tmp_path / "store"))
