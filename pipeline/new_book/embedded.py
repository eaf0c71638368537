"""Images that lie within LabelMe's JSON files alone: they become files, so that a book can read them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from PIL import Image as PILImage

from models.errors import ConfigurationError, DataError
from pipeline.annotations.tools.reading import json_tool
from pipeline.annotations.tools.values import unpacked
from pipeline.book.links import make_link
from pipeline.datasets.file_names import without_suffix
from pipeline.datasets.folder_images import files_below
from pipeline.datasets.images import FORMATS, MAX_PIXELS
from pipeline.datasets.tables import clipped, cut, read_text

LABELS = "labels"
LONGEST_NAME = 240
"""Bytes; most file systems take 255, with the suffix."""
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg"}
"""Of formats that are not called as their files."""


def unpack_images(data: Path, target: Path, made: list[Path]) -> Path | None:
    """Write the images of LabelMe's files into ``target/images``, and link the files as ``target/labels``.

    Args:
        data: folder of the JSON files.
        target: is made where a file holds an image.
        made: gets what is made here.

    Returns:
        ``target``, or None where no file holds an image.

    Raises:
        DataError: an image that is damaged or too large, a name that no file can have, or two images of one name.
        ConfigurationError: the folder is there already, from another book.
    """
    if target.exists():
        raise ConfigurationError(f"{target} is there already, for another book. Name another with --book.")
    names: dict[str, Path] = {}
    for path, content in _files(data):
        suffix, image = _image(path, content["imageData"])
        stem = _stem(path, content.get("imagePath"))
        if stem in names:
            raise DataError(f"{path}: expected one image with the name '{stem}', which {names[stem]} has too.")
        names[stem] = path
        made += [] if target.exists() else [target]
        (target / "images").mkdir(parents=True, exist_ok=True)
        (target / "images" / f"{stem}{suffix}").write_bytes(image)
    if not names:
        return None
    make_link(target / LABELS, data)
    return target


def _stem(path: Path, given: Any) -> str:
    """The name of an image without suffix: the last part of the path that the file says, else the file's name."""
    stem = without_suffix(PureWindowsPath(given).name) if isinstance(given, str) and given else path.stem
    if not stem.isprintable() or len(stem.encode()) > LONGEST_NAME:
        raise DataError(f"{path}: expected the name of an image file as imagePath, found {clipped(ascii(given))}.")
    return stem


def _files(data: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for name in sorted(files_below(data)):
        if name.lower().endswith(".json"):
            try:
                content = json.loads(read_text(data / name, "JSON"))
            except (ValueError, RecursionError, DataError):
                continue  # whoever reads the labels says what is wrong with it
            if json_tool(content) == "labelme" and isinstance(content.get("imageData"), str):
                yield data / name, content


def _image(path: Path, encoded: str) -> tuple[str, bytes]:
    """The suffix and the bytes of an image."""
    try:
        content = unpacked(encoded)
        with PILImage.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels")
            kind = str(picture.format)
    except Exception as error:  # Pillow raises almost any for damaged files
        raise DataError(f"{path}: expected an image as imageData, found {cut(str(error))}.") from None
    return SUFFIXES.get(kind, f".{kind.lower()}"), content
