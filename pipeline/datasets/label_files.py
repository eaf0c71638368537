"""Files of image labels: JSON, and the pickled ``cls_labels.npy`` of PSA, SEAM and IRN, of which no code is run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.coco_values import whole_number
from pipeline.datasets.regular import open_regular, read_regular
from pipeline.datasets.tables import clipped, cut
from pipeline.storage.plain_pickle import PlainUnpickler

NUMBERED = re.compile(r"(\d{4})_?(\d{6})")
"""A VOC id; IRN writes it as a number, without the underscore."""
REMEDY = 'Name such a file, or write its content as JSON: {"labels": {"2007_000032": [1, 15]}}.'


def read_labels(path: Path, key: str, classes: int) -> dict[str, list[int]]:
    """Class numbers (from 1) by image id.

    Args:
        path: JSON with a mapping ``key`` from id to class numbers, or .npy with one pickled dict from id to an array
            with a 0 or 1 for each class. A pickle may hold dicts, strings, numbers and plain arrays, nothing else.
        key: of the JSON.
        classes: C, the length of the arrays.

    Raises:
        ConfigurationError: the JSON has no such mapping.
        DataError: no such file, damaged, with other things in it, or with arrays of another length.
    """
    if path.suffix == ".npy":
        return {_id(name): _numbers(path, name, row, classes) for name, row in _pickled(path).items()}
    try:
        content = json.loads(read_regular(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        found = "lists within lists without end" if isinstance(error, RecursionError) else error
        raise DataError(f"{path}: expected a JSON file of image labels, found {found}.") from None
    if not isinstance(content, dict) or not isinstance(content.get(key), dict):
        known = (
            [name for name, value in content.items() if isinstance(value, dict)] if isinstance(content, dict) else ()
        )
        raise ConfigurationError(f"{path}: no mapping '{key}' from id to classes.{closest(key, known)}")
    return {id: _listed(path, id, values) for id, values in content[key].items()}


def _listed(path: Path, id: str, values: Any) -> list[int]:
    """Class numbers as the JSON lists them."""
    numbers = [whole_number(value) for value in values] if isinstance(values, list) else [None]
    if None in numbers:
        found = clipped(json.dumps(values), 40)
        raise DataError(f"{path} '{cut(id)}': expected class numbers such as [1, 15], found {found}.")
    return [number for number in numbers if number is not None]


def _id(name: Any) -> str:
    text = str(name).removesuffix(".jpg")
    numbered = NUMBERED.fullmatch(text)
    return f"{numbered[1]}_{numbered[2]}" if numbered else text


def _numbers(path: Path, name: Any, row: Any, classes: int) -> list[int]:
    if not isinstance(row, np.ndarray) or row.shape != (classes,):
        found = f"an array of shape {row.shape}" if isinstance(row, np.ndarray) else type(row).__name__
        raise DataError(f"{path} '{name}': expected an array of {classes} numbers, one a class, found {found}.")
    return [int(number) + 1 for number in np.flatnonzero(row > 0)]


def _pickled(path: Path) -> Mapping[Any, Any]:
    """The dict in an object array of no dimension, as ``numpy.save`` writes a dict."""
    try:
        with open_regular(path) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = read(file)
            if kind != np.dtype(object) or shape != ():
                raise ValueError(f"an array of {kind} and shape {shape}")
            content = _value(_LabelUnpickler(file, encoding="latin1").load())
    except FileNotFoundError:
        raise DataError(f"{path}: expected a file of image labels, found no such file.") from None
    except _RefusedError as refused:
        raise DataError(
            f"{path}: expected a pickled dict of plain arrays, found {refused} in it, which could run code on loading "
            f"and was refused. {REMEDY}"
        ) from None
    except Exception as error:  # a damaged pickle can end in almost any way
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataError(f"{path}: expected a pickled dict of plain arrays, found {reason}. {REMEDY}") from None
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: expected a dict from id to an array, found {type(content).__name__}. {REMEDY}")
    return {key: _value(value) for key, value in content.items()}


class _RefusedError(Exception):
    """A pickle asks for something that is not needed for arrays."""


class _Kind:
    """Stands for a dtype in a pickle: one of a few numbers, or objects."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[biuf][1248]|O8", code):
            raise _RefusedError(f"an array of kind '{code}'")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in "<>" else "="


class _Array:
    """Stands for an array in a pickle; numpy itself is not asked to read any."""

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, _, content = state
        if kind.code == "O8":
            self.value = _value(content[0]) if shape == () and isinstance(content, list) else None
            return
        raw = content.encode("latin1") if isinstance(content, str) else content
        self.value = np.frombuffer(raw, np.dtype(kind.order + kind.code)).reshape(shape)


def _value(item: Any) -> Any:
    return item.value if isinstance(item, _Array) else item


def _from_buffer(raw: bytes, kind: _Kind, shape: tuple[int, ...], order: str) -> _Array:
    """Protocol 5's way to write an array."""
    array = _Array()
    array.value = np.frombuffer(raw, np.dtype(kind.order + kind.code)).reshape(shape)
    return array


def _scalar(kind: _Kind, raw: bytes) -> Any:
    return np.frombuffer(raw, np.dtype(kind.order + kind.code))[0].item()


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _RefusedError(f"text in '{encoding}'")
    return text.encode("latin1")


class _LabelUnpickler(PlainUnpickler):
    """Makes nothing but dicts, strings, numbers and this module's stand-ins."""

    _STAND_INS = {
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
        **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Kind,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        return self._STAND_INS.get((module, name)) or self._refuse(f"{module}.{name}")

    @staticmethod
    def _refuse(name: str) -> NoReturn:
        raise _RefusedError(f"'{name}'")
