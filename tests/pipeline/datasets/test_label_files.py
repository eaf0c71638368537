"""Labels out of pickles, without running what is in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import DataError
from pipeline.datasets.label_files import read_labels


def row(*classes: int, kind: Any = np.float32) -> Any:
    found = np.zeros(20, kind)
    found[np.array(classes, int) - 1] = 1
    return found


def save(path: Path, content: Any, protocol: int = 4) -> Path:
    """As ``numpy.save`` does, in a protocol of choice."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        array = np.empty((), object)
        array[()] = content
        pickle.dump(array, file, protocol=protocol)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.uint8, np.bool_, np.dtype(">f4")])
def test_what_numpy_saves(tmp_path: Path, kind: Any) -> None:
    content = {"2007_000032": row(1, 15, kind=kind), "2007_000033": row(20, kind=kind), "none": row(kind=kind)}
    np.save(tmp_path / "cls_labels.npy", np.array(content, dtype=object))
    expected = {"2007_000032": [1, 15], "2007_000033": [20], "none": []}
    assert read_labels(tmp_path / "cls_labels.npy", "labels", 20) == expected


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_older_pickles_and_numbered_ids(tmp_path: Path, protocol: int) -> None:
    content = {2007000032: row(1), np.int64(2007000033): row(2), "2007_000039.jpg": row(3)}
    path = save(tmp_path / "cls_labels.npy", content, protocol)
    assert read_labels(path, "labels", 20) == {"2007_000032": [1], "2007_000033": [2], "2007_000039": [3]}


class Evil:
    """Would make a file when it is loaded."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = call, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", ["value", "key", "whole"])
def test_code_is_refused_and_not_run(tmp_path: Path, protocol: int, place: str) -> None:
    mark = tmp_path / "was_here"
    for evil in (Evil(os.system, f"touch {mark}"), Evil(eval, f"open({str(mark)!r}, 'w')"), Evil(os.mkdir, str(mark))):
        content = {"value": {"a": evil}, "key": {("a", evil): row(1)}, "whole": evil}[place]
        path = save(tmp_path / "cls_labels.npy", content, protocol)
        with pytest.raises(DataError, match=r"could run code on loading and was refused(.|\n)*as JSON"):
            read_labels(path, "labels", 20)
        assert not mark.exists()


def test_other_things_are_named(tmp_path: Path) -> None:
    for content, found in (
        ({"a": np.zeros(7)}, r"'a': expected an array of 20 numbers, one a class, found an array of shape \(7,\)"),
        ({"a": [1, 2]}, "found list"),
        ([1, 2], "expected a dict from id to an array, found list"),
        ({"a": Path("x")}, "refused"),
    ):
        with pytest.raises(DataError, match=found):
            read_labels(save(tmp_path / "x.npy", content), "labels", 20)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(DataError, match="found ValueError: an array of float64"):
        read_labels(tmp_path / "plain.npy", "labels", 20)
    whole = save(tmp_path / "x.npy", {"a": row(1)}).read_bytes()
    for broken in (b"", b"no array", whole[:-20], whole[:60]):
        (tmp_path / "x.npy").write_bytes(broken)
        with pytest.raises(DataError, match="expected a pickled dict"):
            read_labels(tmp_path / "x.npy", "labels", 20)
    with pytest.raises(DataError, match="no such file"):
        read_labels(tmp_path / "ghost.npy", "labels", 20)
