"""Weights files that are zip archives: what they unpack to is read before anything is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from models.errors import DataError

MOST_PER_BYTE, ALWAYS_TAKEN = 20, 64 * 2**20
"""Bytes that a byte of the file may unpack to, and how many are no harm: float weights shrink by a tenth or so."""


def refuse_bomb(path: Path) -> None:
    """Refuse a zip archive that unpacks to far more than it holds; other files pass.

    Raises:
        DataError: it does.
        zipfile.BadZipFile: an archive that is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    packed = path.stat().st_size
    if unpacked > max(ALWAYS_TAKEN, MOST_PER_BYTE * packed):
        raise DataError(
            f"{path}: expected weights that unpack to at most {MOST_PER_BYTE} times the file's {packed:,} bytes, found "
            f"{unpacked:,} bytes in it, which is no way to keep weights. Remedy: where you trust its source, unpack it "
            "and save the arrays without compression (np.savez, torch.save)."
        )
