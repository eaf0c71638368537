"""JSON files of ``prepare``, which grow with the data set: written piece by piece, read entry by entry.

Of a million images such a file has hundreds of megabytes, and would become gigabytes of objects in every process. So it
is mapped into memory, which processes share, and an entry is looked up in its text: keys are sorted, and each member of
a section begins on a line of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from json.encoder import encode_basestring_ascii as quoted
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Generic, TypeVar

from models.errors import DataError
from pipeline.storage.sums import check, read_sums, write_sums

VERSION = 1
MEMBER = b'\n  "'
"""What a member of a section begins with; no string of JSON has a line break."""
MEMBERS, STRING = re.compile(MEMBER), re.compile(rb'"(?:[^"\\]|\\.)*"')
SEPARATOR = ",\n "
END = b"\n }"
"""Of a section."""
CHECKED = 1 << 25
"""Bytes of a file up to which its checksum is looked at when it is opened; of a larger one with its digest, which the
first process of a stage takes."""
AT_ONCE = 1 << 16
"""Pieces of text between two writes."""

Value = TypeVar("Value")
Make = Callable[[Any], Value]


def write_versioned(path: Path, plain: Mapping[str, Any]) -> None:
    """Write JSON with sorted keys, so that equal contents are equal bytes, and ``SHA256SUMS`` of it alone.

    Dataclasses become objects.
    """
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_pieces(plain))
    write_sums(path.parent, [path.name])


def versioned_text(plain: Mapping[str, Any]) -> str:
    """What :func:`write_versioned` writes."""
    return "".join(_pieces(plain))


def versioned_digest(plain: Mapping[str, Any]) -> str:
    """sha256 of what :func:`write_versioned` writes."""
    digest, batch = hashlib.sha256(), []
    for piece in _pieces(plain):
        batch.append(piece)
        if len(batch) == AT_ONCE:
            digest.update("".join(batch).encode())
            batch.clear()
    digest.update("".join(batch).encode())
    return digest.hexdigest()


def read_versioned(path: Path, schema: str, sections: Mapping[str, Make[Any]]) -> dict[str, Any]:
    """What :func:`write_versioned` wrote under the key "schema": ``schema``.

    Args:
        path: of the file.
        schema: its kind.
        sections: key -> what makes a value of a member of that object, which is read when it is asked for. In the
            order of the file.

    Raises:
        DataError: no such file, damaged, or of another kind or version.
    """
    try:
        plain = _read(path, sections)
    except FileNotFoundError:
        raise DataError(f"{path}: expected a {schema} file, found no such file. Run prepare first.") from None
    except ValueError as error:
        raise DataError(f"{path}: expected a {schema} file, found damaged JSON ({error}). Run prepare again.") from None
    kind = (plain.pop("schema", None), plain.pop("version", None)) if isinstance(plain, dict) else (None, None)
    if kind != (schema, VERSION):
        raise DataError(f"{path}: expected {schema} version {VERSION}, found {kind}. Run prepare again.")
    return dict(plain)


@dataclass(frozen=True)
class Part:
    """A section of a mapped file: the text between its braces is ``text[start:end]``."""

    path: Path
    text: mmap
    start: int
    end: int


class Members(Mapping[str, Value], Generic[Value]):
    """A section of a file, read member by member. Can be pickled: the file is then mapped again.

    Args:
        part: where the section lies.
        make: from a member's JSON to its value.
    """

    def __init__(self, part: Part, make: Make[Value]) -> None:
        self.part, self._make = part, make
        self._next = part.start
        """Of the member after the last one: most are asked for in order."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.part.path, self.part.start, self.part.end, self._make)

    def __getitem__(self, key: str) -> Value:
        at = self._find(key)
        if at is None:
            raise KeyError(key)
        self._next = end = self._end(at)
        return self._value(at, end)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __iter__(self) -> Iterator[str]:
        return (self._key(match.start()) for match in self._matches())

    def __len__(self) -> int:
        return self._count

    @cached_property
    def digest(self) -> str:
        """sha256 of the whole file. Raises DataError where it is not what was written."""
        path = self.part.path
        return check(path, self.part.text, path.name, read_sums(path.parent))

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self._matches())

    def _matches(self) -> Iterator[re.Match[bytes]]:
        return MEMBERS.finditer(self.part.text, self.part.start, self.part.end)

    def _find(self, key: str) -> int | None:
        """Where the member begins: after the last one that was read, or else by halving."""
        text, low, high = self.part.text, self.part.start, self.part.end
        if low == high:
            return None
        word = quoted(key).encode() + b":"
        begin = self._next + len(MEMBER) - 1
        if text[begin : begin + len(word)] == word:
            return self._next
        while low < high:  # a member begins at low, and the one that is looked for neither before it nor from high on
            at = text.rfind(MEMBER, low, (low + high) // 2 + len(MEMBER))
            here = self._key(at)
            if here == key:
                return at
            if key < here:
                high = at
            else:
                following = text.find(MEMBER, at + 1, high)
                low = high if following < 0 else following
        return None

    def _key(self, at: int) -> str:
        """Of the member that begins at ``at``."""
        found = STRING.match(self.part.text, at + len(MEMBER) - 1)
        word = found[0] if found else b'""'
        key: str = json.loads(word) if b"\\" in word else word[1:-1].decode()
        return key

    def _end(self, at: int) -> int:
        following = self.part.text.find(MEMBER, at + 1, self.part.end)
        return self.part.end if following < 0 else following

    def _value(self, at: int, end: int) -> Value:
        try:
            (value,) = json.loads(f"{{{self.part.text[at:end].decode().rstrip(SEPARATOR)}}}").values()
        except ValueError as error:
            raise DataError(f"{self.part.path}: damaged JSON ({error}). Run prepare again.") from None
        return self._make(value)


def _pieces(plain: Mapping[str, Any]) -> Iterator[str]:
    yield from json.JSONEncoder(sort_keys=True, indent=1, default=_plain).iterencode({"version": VERSION, **plain})
    yield "\n"


def _plain(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        if hasattr(value, "plain"):
            return dict(value.plain())
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return dict(value)


def _again(path: Path, start: int, end: int, make: Make[Value]) -> Members[Value]:
    return Members(Part(path, _mapped(path), start, end), make)


def _mapped(path: Path) -> mmap:
    """Raises ValueError for an empty file."""
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def _read(path: Path, sections: Mapping[str, Make[Any]]) -> Any:
    text = _mapped(path)
    if len(text) <= CHECKED:
        check(path, text, path.name, read_sums(path.parent))
    parts: dict[str, Part] = {}
    before = len(text)
    for key in reversed(list(sections)):
        head = b'\n "%s": {' % key.encode()
        at = (text.find if len(parts) == len(sections) - 1 else text.rfind)(head, 0, before)
        start = at + len(head)
        end = start if text[start : start + 1] == b"}" else text.rfind(END, start, before)
        if at < 0 or end < 0:  # another layout, as an editor may leave it; or damaged
            return _whole(text, sections)
        parts[key] = Part(path.absolute(), text, start, end)
        before = at
    rest, begin = b"", 0
    for key in sections:
        rest += text[begin : parts[key].start]
        begin = parts[key].end
    return json.loads(rest + text[begin:]) | {key: Members(parts[key], make) for key, make in sections.items()}


def _whole(text: mmap, sections: Mapping[str, Make[Any]]) -> Any:
    plain = json.loads(text[:])
    if isinstance(plain, dict):
        for key, make in sections.items():
            plain[key] = {name: make(value) for name, value in plain.get(key, {}).items()}
    return plain
