"""Checksums of an artefact's files: a byte that has changed since they were written is noticed when they are read.

``SHA256SUMS`` has the form of ``sha256sum``, so that ``sha256sum -c SHA256SUMS`` checks a folder without this project.
What versions before 0.3 wrote has no such file, and is read unchecked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from mmap import mmap
from pathlib import Path

from models.errors import DataError

FILE = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
AGAIN = (
    "Remedy: check the disk, delete the file's copy in DVC's cache, from where it would come back "
    "(`find .dvc/cache -samefile FILE -delete`), and the artefact, then run the stage that makes it (`dvc repro`)."
)
"""What makes a damaged artefact whole: DVC takes files of its cache, which are links to the same bytes, for whole."""
Sums = Mapping[str, str]
"""Path below the folder -> sha256 of the file, in hexadecimal digits."""


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Write ``folder/SHA256SUMS`` of the files ``names``, which are there; paths with forward slashes."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / FILE).write_text("".join(lines), encoding="utf-8")


def read_sums(folder: Path) -> Sums | None:
    """The checksums of a folder; None where it has none.

    Raises:
        DataError: the file is damaged.
    """
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise damaged(folder / FILE, "no text") from None
    found = [LINE.fullmatch(line) for line in lines[:-1]]
    if lines[-1] or None in found:
        raise damaged(folder / FILE, "a line that is no checksum")
    return {match[2]: match[1] for match in found if match}


def check(path: Path, data: bytes | mmap, name: str, sums: Sums | None) -> str:
    """The sha256 of ``data``, read from ``path``. Raises DataError where ``sums`` have another one of it, or none."""
    digest = hashlib.sha256(data).hexdigest()
    if sums is not None and name not in sums:  # all are named when they are written: a name has changed
        raise damaged(path, f"no checksum of it in {FILE}")
    if sums is not None and sums[name] != digest:
        raise damaged(path, "other bytes than were written")
    return digest


def checked_bytes(path: Path) -> bytes:
    """The content of a file, which the checksums of its folder agree with, where it has some.

    Raises:
        DataError: it is not what was written.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    check(path, data, path.name, read_sums(path.parent))
    return data


def damaged(path: Path, found: str) -> DataError:
    """The error for a file that was written whole and has changed since."""
    return DataError(
        f"{path} is damaged: found {found}. {AGAIN} If it was changed on purpose, delete {FILE} beside it."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
