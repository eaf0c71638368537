"""More seeds for a recipe whose seeds are a list of `each:` in book.yaml: they are added to that list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from models.errors import ConfigurationError
from pipeline.book.agreement import SOURCE
from pipeline.book.each import EACH
from pipeline.book.expansion import Expansion, expand
from pipeline.book.lineage import Node
from pipeline.book.written import Path
from pipeline.new_book.chains import Chain, seeded
from pipeline.new_book.expanding import write_source
from pipeline.new_book.text import BookText

_PLACEHOLDER = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class _Origin:
    """How `each:` makes a node of the chain, or the same node under a seed that was added before.

    Attributes:
        entry: the entry that is made so: the node itself, or the one that ``repeat`` wrote for another seed.
        lists: variable -> where its list stands, of those that are seeds.
    """

    entry: Path
    lists: Mapping[str, Path]


@dataclass(frozen=True)
class SeedLists:
    """The lists of a book that give the nodes of a chain their seeds."""

    chain: Chain
    expansion: Expansion
    text: BookText
    origins: Mapping[Node, _Origin]

    @classmethod
    def of(cls, chain: Chain, expansion: Expansion, text: BookText) -> SeedLists | None:
        """Find them; None where something of the chain does not vary with a list of seeds that is written out."""
        origins: dict[Node, _Origin] = {}
        trainings = [node for node in chain.nodes if node[0] == "train"]
        for node in trainings:
            origin = next((one for one in map(_Seeds(expansion, text).of, _relatives(expansion, node)) if one), None)
            if origin is None:
                return None
            origins[node] = origin
        seeds = [(name, text.value(path)) for origin in origins.values() for name, path in origin.lists.items()]
        for node in chain.nodes:
            if node not in origins:
                found = (_varying(expansion, text, entry, seeds) for entry in _relatives(expansion, node))
                origin = next((one for one in found if one), None)
                if origin is None:
                    return None
                origins[node] = origin
        return cls(chain, expansion, text, origins)

    def add(self, seeds: Sequence[int]) -> tuple[Expansion, dict[tuple[Node, int], str]]:
        """Write the seeds into the lists that lack them, and params.yaml.

        Returns:
            What the book says then, and the names of the chain's nodes under each of the seeds.

        Raises:
            ConfigurationError: every list has one of the seeds already, or the entries under the new ones would not be
                those of the chain. Nothing is written then.
        """
        self._extend(seeds)
        text = str(self.text)
        new = expand(text, self.expansion.written.name)
        names = self._names(new, seeds)
        self._require_same(new, names, seeds)
        write_source(self.chain.file.with_name(SOURCE), text, new)
        return new, names

    def _extend(self, seeds: Sequence[int]) -> None:
        lists: dict[int, Path] = {}
        for origin in self.origins.values():
            for path in origin.lists.values():
                lists.setdefault(id(self.text.value(path)), path)
        missing = {path: [s for s in seeds if s not in self._values(path)] for path in lists.values()}
        for seed in seeds:
            if not any(seed in lacked for lacked in missing.values()):
                places = ", ".join(f"{self.expansion.written.name} {self._line(path)}" for path in missing)
                raise ConfigurationError(
                    f"{places}: the seed {seed} is in this list already: expected other ones with --seeds."
                )
        for path, lacked in missing.items():
            self.text.append(path, list(map(str, lacked)))

    def _values(self, path: Path) -> list[Any]:
        found: Any = self.expansion.written.content
        for key in path:
            found = found[key]
        return list(found)

    def _line(self, path: Path) -> str:
        """Of the list itself, which an alias has elsewhere."""
        return f"line {self.text.value(path).start_mark.line + 1}"  # type: ignore[union-attr]

    def _names(self, new: Expansion, seeds: Sequence[int]) -> dict[tuple[Node, int], str]:
        made = {(key[0], new.sources[key], frozenset(values.items())): key[1] for key, values in new.values.items()}
        names: dict[tuple[Node, int], str] = {}
        for node, origin in self.origins.items():
            source, values = self.expansion.sources[origin.entry], self.expansion.values[origin.entry]
            for seed in seeds:
                chosen = {**values, **dict.fromkeys(origin.lists, seed)}
                names[node, seed] = made[node[0], source, frozenset(chosen.items())]
        return names

    def _require_same(self, new: Expansion, names: Mapping[tuple[Node, int], str], seeds: Sequence[int]) -> None:
        """Entries of before stay, and the new ones stand on each other as those of the chain do."""
        for verb, entries in self.expansion.content.items():
            if verb != "table" and any(repr(new.content[verb].get(k)) != repr(e) for k, e in entries.items()):
                raise ConfigurationError(f"{new.written.name}: other {verb} entries would change with a longer list.")
        for node in self.chain.nodes:
            given = self.expansion.content[node[0]][node[1]]
            for seed in seeds:
                below = {one: names[one, seed] for one in self.chain.nodes}
                expected = self.chain.renamed(node, given, below, seed)
                self._require_entry(new, (node[0], names[node, seed]), expected, self._keys(node, given, expected))

    def _keys(self, node: Node, given: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
        """Keys to compare: of an entry that ``repeat`` wrote all, of one that varies by itself what names others."""
        if self.origins[node].entry != node:
            return list(expected)
        return [*self.chain.inputs(node), *(["seed"] if node[0] == "train" else [])]

    def _require_entry(self, new: Expansion, node: Node, expected: Mapping[str, Any], keys: Sequence[str]) -> None:
        found = new.content[node[0]][node[1]]
        for key in keys:
            if found.get(key) != expected[key]:
                where = new.written.at(new.sources[node])
                raise ConfigurationError(
                    f"{new.written.name} {where}: {'.'.join(node)}.{key} would be {found.get(key)!r}, expected "
                    f"{expected[key]!r}: this entry does not vary with the seed as what it stands on does. Remedy: "
                    "name the first training that varies with --from train@NAME, or edit the book by hand."
                )


@dataclass(frozen=True)
class _Seeds:
    """Which variable a training takes its seed from."""

    expansion: Expansion
    text: BookText

    def of(self, entry: Path) -> _Origin | None:
        written: Any = self.expansion.written.content
        for key in self.expansion.sources[entry]:
            written = written[key] if isinstance(written, dict) and key in written else {}
        seed = written.get("seed") if isinstance(written, dict) else None
        named = _PLACEHOLDER.fullmatch(seed) if isinstance(seed, str) else None
        place = _declared(self.text, self.expansion.sources[entry], named[1]) if named else None
        return _Origin(entry, {named[1]: place}) if named and place else None


def _relatives(expansion: Expansion, node: Node) -> list[Path]:
    """A node, then entries that `each:` makes which are called as it is under their seed."""
    others = [
        key
        for key, values in expansion.values.items()
        if key[0] == node[0] and key != node and any(seeded(node[1], value) == key[1] for value in values.values())
    ]
    return [node, *others]


def _varying(
    expansion: Expansion, text: BookText, entry: Path, seeds: Sequence[tuple[str, yaml.Node | None]]
) -> _Origin | None:
    """The origin of an entry that varies with one of these lists, or with another one of a variable of that name."""
    declared = {name: _declared(text, expansion.sources[entry], name) for name in expansion.values[entry]}
    lists = {
        name: path
        for name, path in declared.items()
        if path and any(name == seed or text.value(path) is node for seed, node in seeds)
    }
    return _Origin(entry, lists) if lists else None


def _declared(text: BookText, source: Path, variable: str) -> Path | None:
    """Where the list of a variable above an entry stands; None where it is none that is written out."""
    for length in range(len(source) - 1, -1, -1):
        path = (*source[:length], EACH, variable)
        value = text.value(path)
        if value is not None:
            return path if isinstance(value, yaml.SequenceNode) and value.value else None
    return None
