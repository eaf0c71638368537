"""An export that is still a ZIP archive, as tools hand it out: it becomes a folder, so that a book can read it."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from shlex import quote

from models.errors import ConfigurationError, DataError
from pipeline.datasets.folder_images import is_unseen
from pipeline.new_book.tool_exports import has_images

MOST_PER_BYTE, ALWAYS_TAKEN = 100, 2**30
"""Bytes that a byte of the archive may unpack to, and how many are no harm: labels shrink to a tenth or so."""
SUFFIX = ".zip"
DAMAGED = (None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""Errors of an archive: bytes that bz2 refuses, a file in place of a folder, a name that no file can have."""


def is_archive(path: Path) -> bool:
    """Whether a file is a ZIP archive by its name."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def unpack_archive(archive: Path, target: Path, made: list[Path]) -> Path:
    """Unpack an archive of images and labels into ``target``.

    Args:
        archive: the file.
        target: is made.
        made: gets what is made here.

    Returns:
        The folder that holds them: ``target``, or the only folder in it.

    Raises:
        DataError: a damaged or locked archive, one whose files would lie elsewhere or are too large, or no image in it.
        ConfigurationError: ``target`` is there already, from another book.
    """
    if target.exists():
        raise ConfigurationError(f"{target} is there already, for another book. Name another with --book.")
    made += [target]
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_members(archive, opened))
            _check_size(archive, members, target)
            for name, member in members:
                place = target / name
                place.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, place.open("wb") as written:
                    shutil.copyfileobj(source, written)
    except OSError as error:
        if error.errno not in DAMAGED:
            raise
        raise DataError(f"{archive}: expected a ZIP archive of files and folders, found {error}.") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, LZMAError) as error:
        raise DataError(f"{archive}: expected a ZIP archive, found a damaged or locked one ({error}).") from None
    folder = _only_folder(target)
    if not has_images(folder):
        raise DataError(
            f"{archive}: expected images and their labels, found no images in it. Remedy: unpack it into the folder of "
            f"the images (unzip {quote(archive.name)} -d FOLDER), and name that folder; or export with images."
        )
    return folder


def _members(archive: Path, opened: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Files with their paths; what systems leave behind is left out."""
    for member in opened.infolist():
        name = _name(member)
        path = PurePosixPath(name)
        if name and (member.is_dir() or any(is_unseen(part) for part in path.parts if part != "..")):
            continue
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or is_link:
            raise DataError(f"{archive}: expected files within one folder, found '{name[:80]}'. Remedy: unpack it.")
        if not name.isprintable():
            raise DataError(f"{archive}: expected names that can be read, found {name[:80]!a}. Remedy: unpack it.")
        yield name, member


def _name(member: zipfile.ZipInfo) -> str:
    """Names are UTF-8 also where the archive does not say so, unless they are none."""
    name = member.filename.replace("\\", "/")
    try:
        return name if member.flag_bits & 0x800 else name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _check_size(archive: Path, members: list[tuple[str, zipfile.ZipInfo]], target: Path) -> None:
    unpacked, packed = sum(member.file_size for _, member in members), archive.stat().st_size
    there = next(folder for folder in target.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if unpacked > max(ALWAYS_TAKEN, MOST_PER_BYTE * packed) or unpacked > free:
        raise DataError(
            f"{archive}: expected an archive that unpacks to at most {MOST_PER_BYTE} times its {packed:,} bytes and to "
            f"the {free:,} bytes that are free, found {unpacked:,} bytes in it. Remedy: unpack it yourself, and name "
            "the folder."
        )


def _only_folder(folder: Path) -> Path:
    """The folder itself, or the one in it where there is nothing else, as archives of one folder have it."""
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(there) == 1 and there[0].is_dir():
        return _only_folder(there[0])
    return folder
