"""What of a recipe varies with the seed, and what its entries are under another one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError
from pipeline.book.check_inputs import check_targets
from pipeline.book.lineage import REFERENCES, Node, ancestors, entry_inputs
from pipeline.book.lines import with_line
from pipeline.book.params import Book

_SEED_ZERO = re.compile(r"_0(?=_|$)")
"""Names that carry their seed: ``points_0_head``."""


@dataclass(frozen=True)
class Chain:
    """The trainings of a recipe that get other seeds, and what of the recipe stands on them.

    Attributes:
        book: the book.
        file: its params.yaml.
        targets: the ends of the recipe.
        nodes: what varies, inputs before what is made from them.
    """

    book: Book
    file: Path
    targets: tuple[Node, ...]
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, book: Book, file: Path, targets: Sequence[str], first: Sequence[str]) -> Chain:
        """Follow the targets' recipes up to their trainings.

        Args:
            targets: ``VERB@NAME``.
            first: ``train@NAME`` from which on trainings vary; none for all.

        Raises:
            ConfigurationError: an unknown target, or one that stands on no such training.
        """
        check_targets(book, [*targets, *first])
        ends, begins = [node_of(target) for target in targets], [node_of(name) for name in first]
        return cls(book, file, tuple(ends), _nodes(book, ends, begins))

    def require_other_seeds(self, seeds: Sequence[int]) -> None:
        """None of the trainings has one of these seeds.

        Raises:
            ConfigurationError: one has; the message has its line.
        """
        for verb, name in self.nodes:
            if verb == "train" and self.book.train[name].seed in seeds:
                raise ConfigurationError(
                    f"{with_line(self.file, f'train.{name}.seed')}: train.{name} has the seed "
                    f"{self.book.train[name].seed} itself: expected other ones with --seeds."
                )

    def require_several_networks(self) -> None:
        """No target stands on two trainings that differ by their seeds alone: both would be the same network.

        Raises:
            ConfigurationError: one does, such as on those whose CAMs are merged.
        """
        for target in self.targets:
            seen: dict[str, str] = {}
            for verb, name in ancestors(self.book, *target):
                if verb != "train" or (verb, name) not in self.nodes:
                    continue
                same = repr(self.book.train[name].model_copy(update={"seed": 0}))
                if (first := seen.setdefault(same, name)) != name:
                    raise ConfigurationError(
                        f"train.{first} and train.{name} differ by their seeds alone, and would be the same network "
                        "under one new seed. Remedy: begin after them with --from, or write a block with other seeds."
                    )

    def inputs(self, node: Node) -> dict[str, Node]:
        """Key of an entry -> what it names there, as far as that varies."""
        return {key: below for key, below in entry_inputs(self.book, *node).items() if below in self.nodes}

    def renamed(
        self, node: Node, given: Mapping[str, Any], names: Mapping[Node, str], seed: int | str
    ) -> dict[str, Any]:
        """An entry of the chain under another seed.

        Args:
            given: the entry as the book says it.
            names: what the nodes of the chain are called under that seed.
        """
        below = {key: names[value] for key, value in self.inputs(node).items()}
        entry = {**given, **{key: name for key, name in below.items() if key in REFERENCES}}
        if "of" in below:
            entry["of"] = f"{given['of'].partition('/')[0]}/{below['of']}"
        return {**entry, "seed": seed} if node[0] == "train" else entry

    def under(self, node: Node, given: Mapping[str, Any], seed: int | str) -> dict[str, Any]:
        """An entry of the chain under another seed, which all names carry as ``seeded`` has it."""
        return self.renamed(node, given, {one: seeded(one[1], seed) for one in self.nodes}, seed)

    def missing(self, given: Mapping[str, Any], seeds: Sequence[int]) -> dict[Node, dict[str, dict[str, Any]]]:
        """For each node the entries under these seeds that the book does not have yet.

        Args:
            given: what params.yaml says.

        Raises:
            ConfigurationError: another entry has one of the names.
        """
        found: dict[Node, dict[str, dict[str, Any]]] = {}
        for verb, name in self.nodes:
            there = given[verb]
            new = {seeded(name, seed): self.under((verb, name), there[name], seed) for seed in seeds}
            for key in new.keys() & there.keys():
                if there[key] != new[key]:
                    raise ConfigurationError(
                        f"{with_line(self.file, f'{verb}.{key}')}: {verb}.{key} is another entry than {verb}.{name} "
                        "under that seed."
                    )
            found[verb, name] = {key: entry for key, entry in new.items() if key not in there}
        return found


def seeded(name: str, seed: int | str) -> str:
    """The name of an entry under another seed: ``points_0_head`` -> ``points_1_head``, ``cam`` -> ``cam_1``."""
    return _SEED_ZERO.sub(f"_{seed}", name, count=1) if _SEED_ZERO.search(name) else f"{name}_{seed}"


def node_of(target: str) -> Node:
    """``VERB@NAME`` as verb and name."""
    verb, _, name = target.partition("@")
    return verb, name


def new_rows(
    given: Mapping[str, Any], targets: Sequence[Node], seeds: Sequence[int]
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Rows of ``table.repeats`` to add for the targets, and keys of those that are there without the new evaluations.

    Args:
        given: what params.yaml says.
    """
    known = (given.get("table") or {}).get("repeats") or {}
    rows: dict[str, dict[str, Any]] = {}
    there = []
    for name in [name for verb, name in targets if verb == "evaluate"]:
        key, of = _SEED_ZERO.sub("", name, count=1), [name, *(seeded(name, seed) for seed in seeds)]
        if key not in known:
            rows[key] = {"of": of}
        elif not set(of) <= set(known[key]["of"]):
            there.append(key)
    return rows, tuple(there)


def _nodes(book: Book, targets: Sequence[Node], first: Sequence[Node]) -> tuple[Node, ...]:
    """The trainings that vary and what of the targets' recipes stands on them, inputs first."""
    for verb, name in first:
        if verb != "train":
            raise ConfigurationError(f"--from: expected a training such as train@{name}, found {verb}@{name}.")
    above = dict.fromkeys(node for target in targets for node in ancestors(book, *target))
    chain: dict[Node, None] = {}
    for node in above:
        begins = node in first if first else node[0] == "train"
        if begins or any(below in chain for below in entry_inputs(book, *node).values()):
            chain[node] = None
    for target in targets:
        if target not in chain:
            named = " or ".join("@".join(node) for node in first) or "a training"
            raise ConfigurationError(f"{'@'.join(target)}: expected a stage that stands on {named}.")
    return tuple(chain)
