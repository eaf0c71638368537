"""Opening a store of CAMs and reading one chunk of it, in fresh processes: of 100,000 and of 1,000,000 images.

    python -m benchmarks.opening [--small 100000] [--large 1000000]

The stores are made: one shard has scores, the others are marks. Each is opened once before, which keeps its arrays.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

SHARD_SIZE = 64
RUNS = 3
OPENING = """
import sys, time
from pathlib import Path
from pipeline.storage.stores import CamStore
start = time.process_time()
store = CamStore(Path(sys.argv[1]))
chunk = list(store.items([f"img_{k:08d}" for k in range(64)]))
assert len(chunk) == 64
print(time.process_time() - start)
"""


def make(path: Path, count: int) -> None:
    """A store of ``count`` images of which the first shard can be read."""
    from models.structures import Cam
    from pipeline.storage import shards
    from pipeline.storage.stores import CamStore, Header

    ids = tuple(f"img_{k:08d}" for k in range(count))
    names = tuple(f"class_{k}" for k in range(20))
    keys = [(1 + k % 20,) for k in range(count)]
    writer = CamStore.create(path, Header(ids, ((375, 500),) * count, names, "digest"), keys)
    scores = np.zeros((1, 24, 32), np.float32)
    writer.write(0, [Cam(np.array(keys[k]), scores, (375, 500)) for k in range(SHARD_SIZE)])
    for k in range(1, writer.count):
        mark = writer.scratch / shards.array_name("part", k) / shards.METADATA
        mark.parent.mkdir()
        mark.write_text("{}")
    shards.write_group(writer.scratch, writer.attributes)
    writer.scratch.rename(path)


def seconds(path: Path) -> float:
    """CPU seconds of opening and one chunk, in a process of its own."""
    command = [sys.executable, "-c", OPENING, str(path)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    wanted = parser.parse_args()
    found = []
    with TemporaryDirectory() as folder:
        for count in (wanted.small, wanted.large):
            path = Path(folder) / str(count)
            make(path, count)
            first, then = seconds(path), min(seconds(path) for _ in range(RUNS))
            found.append(then)
            print(f"{count:>9,} images: first opening {first:.2f} CPU s, then {then:.3f}")
    print(f"ratio {found[1] / found[0]:.2f}")


if __name__ == "__main__":
    main()
