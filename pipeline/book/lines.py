"""Where in the text of a book its keys stand: messages name the line.

PyYAML marks the place of every key. ruamel.yaml does too and writes back what it read, but not as it was (it drops
anchors that nothing refers to, and sets lists and comments anew), and it reads `on`, `010` and `1e-4` otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import yaml

Place: TypeAlias = tuple[yaml.Node, yaml.Node]
"""A key and its value; for an item of a list the item twice."""

MERGE = "tag:yaml.org,2002:merge"


def located(file: Path | None, problems: Sequence[str]) -> list[str]:
    """Problems that begin with a key of the book (``train.cam.settings.lr: ...``), each after the line of that key.

    A key that does not stand there has the line of the nearest one above it; with no file, or no YAML in it, the
    problems stay as they are.
    """
    root = _root(file)
    lines = []
    for problem in problems:
        text = problem.lstrip()
        number = line_of(root, text.partition(":")[0])
        lines.append(f"{problem[: -len(text)]}line {number}: {text}" if number else problem)
    return lines


def with_line(file: Path, key: str) -> str:
    """The file's path and the line of a key: ``recipes/x/params.yaml line 41``."""
    number = line_of(_root(file), key)
    return f"{file.as_posix()} line {number}" if number else file.as_posix()


def line_of(root: yaml.Node | None, key: str) -> int | None:
    """The line of a key, or of what of it there is, from 1; what is merged (``<<``) stands where it was written."""
    nodes = [place for place, _ in places(root, key.split("."))]
    return nodes[-1].start_mark.line + 1 if nodes else None


def places(node: yaml.Node | None, path: Sequence[str]) -> Iterator[Place]:
    """The places on the way down ``path``, as far as it is there."""
    for name in path:
        below = _below(node, name)
        if below is None:
            return
        yield below
        node = below[1]


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
    return next((below for one in several if (below := _below(one, name))), None)


def _root(file: Path | None) -> yaml.Node | None:
    if file is None:
        return None
    try:
        root: yaml.Node | None = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    return root
