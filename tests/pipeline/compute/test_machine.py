"""Memory that a machine, or a container on it, has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.compute.machine import free_memory


@pytest.mark.parametrize(
    ("said", "limit", "used", "free"),
    [
        ("MemTotal: 9 kB\nMemAvailable:  4000 kB\n", "max", "1000", 4_096_000),
        ("MemAvailable: 4000 kB\n", "5000", "2000", 3000),
        ("MemAvailable: 4000 kB\n", "1000", "2000", 0),
        ("MemAvailable: 4000 kB\n", None, None, 4_096_000),
        ("nothing\n", "max", "1", None),
        (None, None, None, None),
    ],
)
def test_what_is_left(said: str | None, limit: str | None, used: str | None, free: int | None, tmp_path: Path) -> None:
    for name, content in (("meminfo", said), ("memory.max", limit), ("memory.current", used)):
        if content is not None:
            (tmp_path / name).write_text(content)
    assert free_memory(tmp_path / "meminfo", tmp_path) == free


def test_files_that_are_kept_until_somebody_needs_memory_are_free(tmp_path: Path) -> None:
    for name, content in (("memory.max", "5000"), ("memory.current", "4000")):
        (tmp_path / name).write_text(content)
    (tmp_path / "memory.stat").write_text("anon 1200\nfile 2800\ninactive_file 2500\n")
    assert free_memory(tmp_path / "none", tmp_path) == 3500
