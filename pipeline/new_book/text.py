"""The text of a params.yaml or book.yaml, to which entries are added while comments and layout stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import yaml

from pipeline.book.yaml_text import MERGE, Place, places


class BookText:
    """The text of a book and what is to change in it; what is not named keeps its bytes.

    Below a section that is written in braces (``train: {a: ...}``) nothing is inserted: compare what the text says with
    what it should.

    Raises:
        yaml.YAMLError: the text is none.
    """

    def __init__(self, text: str) -> None:
        self._text = text if text.endswith("\n") else f"{text}\n"
        loader = _Anchors(self._text)
        self._root, self._anchors = loader.get_single_node(), loader.names
        self._edits: list[tuple[int, int, str]] = []

    def __str__(self) -> str:
        text = self._text
        for start, end, new in sorted(self._edits, key=lambda edit: edit[0], reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def content(self) -> Any:
        """What the text says; None where it is no YAML."""
        try:
            return yaml.safe_load(str(self))
        except yaml.YAMLError:
            return None

    def replace(self, path: Sequence[str], value: str) -> bool:
        """Write another value, without quotes, at a place; False where there is none, or not one in a line."""
        place = self._place(path)
        if place is None or not isinstance(place[1], yaml.ScalarNode):
            return False
        self._edits.append((place[1].start_mark.index, place[1].end_mark.index, value))
        return True

    def insert(self, path: Sequence[str], lines: Sequence[str]) -> None:
        """Add lines, which are indented as those there are, at the end of the section at ``path``."""
        place = self._place(path)
        if place is None or not isinstance(place[1], yaml.MappingNode):
            return
        key, section = place
        if section.value and section.flow_style:  # type: ignore[attr-defined]  # its stubs do not know
            return
        if section.value:
            indent, last = section.value[0][0].start_mark.column, _last_line(*place)
        else:
            indent, last = key.start_mark.column + 2, section.end_mark.line
            self._edits.append((self._after_colon(key), section.end_mark.index, ""))
        at = self._line_start(last + 1)
        self._edits.append((at, at, "".join(f"{' ' * indent}{line}\n" for line in lines)))

    def insert_rows(self, lines: Iterable[str], more: bool) -> None:
        """Add rows to ``table.repeats``.

        Args:
            more: it has some.
        """
        rows = list(lines)
        if not rows:
            return
        path = ("table", "repeats") if more else ("table",)
        section = self.value(path)
        if isinstance(section, yaml.MappingNode) and section.value and section.flow_style:  # type: ignore[attr-defined]
            braced = ", ".join(rows)
            self._insert_in_braces(section, braced if more else f"repeats: {{{braced}}}")
        else:
            self.insert(path, rows if more else ["repeats:", *(f"  {line}" for line in rows)])

    def append(self, path: Sequence[str], items: Sequence[str]) -> None:
        """Add items at the end of the list at ``path``, also of one that an alias stands for; it has to have some."""
        place = self.value(path)
        if not items or not isinstance(place, yaml.SequenceNode):
            return
        last = place.value[-1]
        if place.flow_style:  # type: ignore[attr-defined]
            self._edits.append((last.end_mark.index, last.end_mark.index, "".join(f", {item}" for item in items)))
            return
        at = self._line_start(_last_line(last, last) + 1)
        self._edits.append((at, at, "".join(f"{' ' * place.start_mark.column}- {item}\n" for item in items)))

    def value(self, path: Sequence[str]) -> yaml.Node | None:
        """The node at ``path``; the same one for all aliases of it. None where there is none."""
        place = self._place(path)
        return place[1] if place else None

    def beginning(self, path: Sequence[str]) -> tuple[str, dict[Any, Any]]:
        """What an entry such as the one at ``path`` may begin as: the anchor there, or of what that one merges itself.

        Returns:
            The anchor and the content of its mapping; "" and nothing where there is none.
        """
        value = self.value(path)
        merged = (
            [below for key, below in value.value if key.tag == MERGE] if isinstance(value, yaml.MappingNode) else []
        )
        known = {node: name for name, node in self._anchors.items()}
        node = next((one for one in (value, *merged) if one in known and isinstance(one, yaml.MappingNode)), None)
        if node is None:
            return "", {}
        copy = deepcopy(node)  # merges are taken out of what is constructed
        return known[node], yaml.SafeLoader("").construct_document(copy)

    def anchor_of(self, path: Sequence[str]) -> str:
        """The YAML anchor of the mapping at ``path``; "" where it has none."""
        value = self.value(path)
        known = {node: name for name, node in self._anchors.items()}
        return known.get(value, "") if isinstance(value, yaml.MappingNode) else ""

    def anchor(self, path: Sequence[str]) -> str:
        """The YAML anchor of the entry at ``path``, which gets one if it has none; "" where it cannot."""
        place = self._place(path)
        if place is None or not isinstance(place[1], yaml.MappingNode):
            return ""
        if known := self.anchor_of(path):
            return known
        new = next((new for new in (path[-1], "_".join(path)) if new not in self._anchors), "")
        if new:
            self._anchors[new] = place[1]
            at = self._after_colon(place[0])
            self._edits.append((at, at, f" &{new}"))
        return new

    def _place(self, path: Sequence[str]) -> Place | None:
        nodes = list(places(self._root, path))
        return nodes[-1] if len(nodes) == len(path) else None

    def _insert_in_braces(self, section: yaml.MappingNode, text: str) -> None:
        end = section.end_mark.index - 1
        comma = "" if self._text[:end].rstrip().endswith(",") else ", "
        self._edits.append((end, end, f"{comma}{text}"))

    def _after_colon(self, key: yaml.Node) -> int:
        return self._text.index(":", key.end_mark.index) + 1

    def _line_start(self, number: int) -> int:
        return sum(len(line) for line in self._text.splitlines(keepends=True)[:number])


class _Anchors(yaml.SafeLoader):
    """Notes which node has which anchor; nodes do not say."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.names: dict[str, yaml.Node] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        name = None if self.check_event(yaml.AliasEvent) else self.peek_event().anchor
        node = super().compose_node(parent, index)
        if name and node is not None:
            self.names[name] = node
        return node


def _last_line(key: yaml.Node, value: yaml.Node) -> int:
    """The last line, from 0, of a key and what is below it; the end mark of a block is at what follows it."""
    if isinstance(value, yaml.CollectionNode) and not value.flow_style and value.value:
        last = value.value[-1]
        end = _last_line(*last) if isinstance(last, tuple) else _last_line(last, last)
    else:
        end = value.end_mark.line - (value.end_mark.column == 0)  # a block of text ends where the next line begins
    return max(key.start_mark.line, end)  # what an alias stands for was written further up


def entry_line(name: str, entry: Mapping[str, Any], *, like: Mapping[str, Any] | None = None, anchor: str = "") -> str:
    """An entry in one line; what it shares with ``like`` comes from the anchor there, if there is one."""
    given = {key: value for key, value in entry.items() if like is None or like.get(key) != value}
    flow = yaml.safe_dump(
        given if anchor else dict(entry), default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    ).strip()
    return f"{name}: {flow.replace('{', f'{{<<: *{anchor}, ', 1) if anchor else flow}"
