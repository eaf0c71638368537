"""The text of a book as YAML: what it says, and where in it each key stands.

PyYAML marks the place of every key. ruamel.yaml does too and writes back what it read, but not as it was (it drops
anchors that nothing refers to, and sets lists and comments anew), and it reads `on`, `010` and `1e-4` otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import yaml

Place: TypeAlias = tuple[yaml.Node, yaml.Node]
"""A key and its value; for an item of a list the item twice."""

HALF = re.compile("[\ud800-\udfff]")
"""A surrogate: a half of what JSON writes as two escapes."""
MERGE = "tag:yaml.org,2002:merge"
DEEPEST = 3000
"""Levels to which libyaml is trusted: it nests on the stack of C, and a full one ends the process."""


def parse_yaml(text: str) -> Any:
    """YAML as a recipe book is written; raises ``yaml.YAMLError``, also for a key that stands twice."""
    try:
        return _fast_or_pure(text, lambda loader: yaml.load(text, loader))  # noqa: S506 (a SafeLoader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deep") from None
    except ValueError as error:  # PyYAML lets it pass: a date such as 2026-13-45
        raise yaml.YAMLError(f"a value cannot be read: {error}. Put text in quotes") from None


@lru_cache(maxsize=2)
def parse_once(text: str) -> Any:
    """:func:`parse_yaml`; equal texts of one process share what they say: it is to be read, not changed."""
    return parse_yaml(text)


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a text with their places; None where it is no YAML, or empty."""
    try:
        node: yaml.Node | None = _fast_or_pure(text, lambda loader: yaml.compose(text, loader))
    except (ValueError, RecursionError, yaml.YAMLError):
        return None
    return node


def places(node: yaml.Node | None, path: Sequence[str]) -> Iterator[Place]:
    """The places on the way down ``path``, as far as it is there."""
    for name in path:
        found = _below(node, name)
        if found is None:
            return
        yield found
        node = found[1]


def line(root: yaml.Node | None, path: Sequence[str]) -> int | None:
    """The line of a key, or of what of it there is, from 1; what is merged (``<<``) stands where it was written."""
    found = [place for place, _ in places(root, path)]
    return found[-1].start_mark.line + 1 if found else None


def _below(node: yaml.Node | None, name: str) -> Place | None:
    if isinstance(node, yaml.SequenceNode) and name.isdecimal() and int(name) < len(node.value):
        return node.value[int(name)], node.value[int(name)]
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value == name:
            return key, value
    merged = [value for key, value in node.value if key.tag == MERGE]
    several = [one for value in merged for one in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
    return next((found for one in several if (found := _below(one, name))), None)


def _fast_or_pure(text: str, read: Callable[[Any], Any]) -> Any:
    """What ``read`` makes with libyaml; with PyYAML's own scanner where that is not there, or has a complaint.

    The two read alike, five times faster, but say otherwise what is wrong.
    """
    if _FastLoader is not None and _depth_at_most(text) < DEEPEST:
        try:
            return read(_FastLoader)
        except (ValueError, RecursionError, yaml.YAMLError):
            pass
    return read(_PureLoader)


def _depth_at_most(text: str) -> int:
    """A bound: a level has a bracket of its own, or stands further right than the one that it is in."""
    widest = max(map(len, text.splitlines()), default=0)
    return text.count("[") + text.count("{") + 2 * widest


class _UniqueKeys:
    """A loader where a key that stands twice in one mapping is an error, not a silent override.

    Values are made at once, not when they are asked for: so what is nested too deep, or in itself, is an error here.
    """

    def construct_document(self, node: yaml.Node) -> Any:
        self.deep_construct = True
        return super().construct_document(node)  # type: ignore[misc]

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        value = super().construct_scalar(node)  # type: ignore[misc]
        if isinstance(value, str) and not value.isascii() and HALF.search(value):
            problem = "half a character, such as \\ud800, which no file or screen can show: write the character itself"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                problem = "expected a name as the key, found a list or a mapping (text that begins with { needs quotes)"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            key = self.construct_object(key_node, deep=True)  # type: ignore[attr-defined]
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key '{key}' stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        made: dict[Any, Any] = super().construct_mapping(node, deep)  # type: ignore[misc]
        return made


class _PureLoader(_UniqueKeys, yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's own scanner, whose messages say more."""


_FastLoader: Any = type("_FastLoader", (_UniqueKeys, yaml.CSafeLoader), {}) if yaml.__with_libyaml__ else None

FLOAT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
"""1e-3 is a number in YAML 1.2, and for DVC, but text for PyYAML."""

for _loader in filter(None, (_PureLoader, _FastLoader)):
    _loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))
