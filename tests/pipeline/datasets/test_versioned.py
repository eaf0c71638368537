"""Files of prepare: the same bytes as plain JSON, and each entry found without reading the others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from pipeline.datasets.versioned import Members, read_versioned, versioned_digest, versioned_text, write_versioned

KEYS = ["a", "a b", 'quo"te', "back\\slash", "\u00e9", "\u65e5\u672c", "\U0001f600", '": {', "~", "\uff5e"]
"""Ids that JSON escapes, or that look like its marks."""


@dataclass(frozen=True)
class Entry:
    """As the entries of a catalogue are."""

    size: tuple[int, int]
    name: str


def entry(plain: dict[str, Any]) -> Entry:
    return Entry(tuple(plain["size"]), plain["name"])


SECTIONS = {"entries": entry, "left_out": str, "splits": tuple}


def content(keys: list[str]) -> dict[str, Any]:
    entries = {key: Entry((number, 2), f'{key} "{{\n }}') for number, key in enumerate(keys)}
    left_out = {key: f'why": {{"{key}' for key in keys[:3]}
    return {
        "schema": "test",
        "names": ["x", "y"],
        "entries": entries,
        "left_out": left_out,
        "splits": {"train": tuple(keys), "val": ()},
        "upright": True,
    }


def read(path: Path) -> dict[str, Any]:
    return read_versioned(path, "test", SECTIONS)


@pytest.mark.parametrize("count", [0, 1, 2, len(KEYS)])
def test_what_is_written_is_read_entry_by_entry(tmp_path: Path, count: int) -> None:
    plain, file = content(KEYS[:count]), tmp_path / "file.json"
    write_versioned(file, plain)
    assert file.read_text(encoding="utf-8") == versioned_text(plain)
    assert (
        versioned_text(plain)
        == json.dumps(
            {
                "version": 1,
                **plain,
                "entries": {key: vars(value) for key, value in plain["entries"].items()},
            },
            sort_keys=True,
            indent=1,
        )
        + "\n"
    )
    found = read(file)
    assert {key: found.pop(key) for key in ("names", "upright")} == {"names": ["x", "y"], "upright": True}
    assert found == {key: plain[key] for key in SECTIONS}
    assert list(found["entries"]) == sorted(plain["entries"])
    for key in (*KEYS[:count], *reversed(KEYS[:count])):
        assert key in found["entries"]
        assert found["entries"][key] == plain["entries"][key]
    for absent in ("", "A", "aa", "zzz", "\u00e9\u00e9", *KEYS[count:]):
        assert absent not in found["entries"]
        assert found["entries"].get(absent) is None
    assert 5 not in found["entries"]


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    plain, file = content(KEYS), tmp_path / "file.json"
    write_versioned(file, plain)
    assert read(file)["entries"].digest == versioned_digest(plain)


def test_entries_travel_to_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, file = content(KEYS), tmp_path / "file.json"
    write_versioned(file, plain)
    monkeypatch.chdir(tmp_path)
    entries = read(Path("file.json"))["entries"]
    assert isinstance(entries, Members)
    pickled = ForkingPickler.dumps(entries)
    assert len(pickled) < 500
    monkeypatch.chdir("/")
    assert ForkingPickler.loads(pickled) == plain["entries"]


def test_a_file_that_an_editor_laid_out_is_read(tmp_path: Path) -> None:
    plain, file = content(KEYS), tmp_path / "file.json"
    file.write_text(json.dumps(json.loads(versioned_text(plain)), indent=4))
    assert read(file)["entries"] == plain["entries"]


@pytest.mark.parametrize("cut", [2, 30, 200, 700])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "file.json"
    file.write_text(versioned_text(content(KEYS))[:-cut])
    with pytest.raises(DataError, match="damaged JSON"):
        read(file)


def test_a_damaged_entry_is_named_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text(versioned_text(content(["a", "b"])).replace('"size": [\n    1', '"size": [\n    one'))
    entries = read(file)["entries"]
    assert entries["a"].size == (0, 2)
    with pytest.raises(DataError, match="damaged JSON"):
        entries["b"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "schema": "test"}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    with pytest.raises(DataError, match="Run prepare again"):
        read(file)
