"""Opening a large store of CAMs and reading one chunk of it, beside reading what the store says of its images whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import zarr

from benchmarks.frame import Case, Results
from models.structures import Cam
from pipeline.storage import index, shards
from pipeline.storage.stores import CamStore, Header

SHARD_SIZE = 64


@dataclass(frozen=True)
class Inputs:
    """The folder that holds the store and its kept index; it goes with the last that knows it."""

    folder: TemporaryDirectory[str]
    wanted: tuple[str, ...]

    @property
    def store(self) -> Path:
        """Where the store lies."""
        return Path(self.folder.name) / "store"


def inputs(images: int) -> Inputs:
    """A store whose first shard has scores, the other shards being marks; opened once, which keeps its index."""
    folder: TemporaryDirectory[str] = TemporaryDirectory()
    ids = tuple(f"img_{k:08d}" for k in range(images))
    made = Inputs(folder, ids[:SHARD_SIZE])
    keys, size = [(1 + k % 20,) for k in range(images)], (375, 500)
    names = tuple(f"class_{k}" for k in range(20))
    writer = CamStore.create(made.store, Header(ids, (size,) * images, names, "digest"), keys)
    scores = np.random.default_rng(0).random((SHARD_SIZE, 1, 24, 32), dtype=np.float32)
    writer.write(0, [Cam(np.array(keys[k]), scores[k], size) for k in range(SHARD_SIZE)])
    for k in range(1, writer.count):
        mark = writer.scratch / shards.array_name("part", k) / shards.METADATA
        mark.parent.mkdir()
        mark.write_text("{}")
    shards.write_group(writer.scratch, writer.attributes)
    writer.scratch.rename(made.store)
    opened(made)
    return made


def opened(x: Inputs) -> Results:
    """``CamStore``: ids, sizes and classes of a large store are arrays that are mapped into memory."""
    with patch.object(index, "PLACE", Path(x.folder.name) / "index"):
        chunk = [cam for _, cam in CamStore(x.store).items(x.wanted)]
    return {"scores": np.stack([cam.scores for cam in chunk]), "classes": np.stack([cam.classes for cam in chunk])}


def read_whole(x: Inputs) -> Results:
    """The store's JSON as a whole, a dictionary of its ids, and the first array of scores."""
    said = json.loads((x.store / shards.METADATA).read_text(encoding="utf-8"))["attributes"]
    position = {name: k for k, name in enumerate(said["ids"])}
    array = zarr.open_array(x.store / shards.array_name("part", 0), mode="r")
    planes, grids = array[:].astype(np.float32), array.attrs["grids"]
    rows = np.cumsum([0, *(len(classes) for classes in said["keys"])])
    scores, classes = [], []
    for name in x.wanted:
        k = position[name]
        height, width = grids[k]
        scores.append(planes[rows[k] : rows[k + 1], :height, :width])
        classes.append(np.array(said["keys"][k], np.int64))
    return {"scores": np.stack(scores), "classes": np.stack(classes)}


CASES = {
    "cams": Case(
        "Opening a store, one chunk of 64",
        inputs,
        opened,
        read_whole,
        size={"images": 100_000},
        quick={"images": 200},
        tolerance=0,
    )
}
