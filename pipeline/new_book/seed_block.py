"""A recipe of a book.yaml under other seeds as a block at its end, with the seeds as a list of `each:`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import ConfigurationError
from pipeline.book.agreement import SOURCE
from pipeline.book.expansion import Expansion, expand
from pipeline.book.flat_text import flat_line
from pipeline.book.judge import COLUMN, JUDGE
from pipeline.book.lineage import Node
from pipeline.datasets.file_names import numbered
from pipeline.new_book.chains import Chain, seeded
from pipeline.new_book.expanding import write_source
from pipeline.new_book.names import slug
from pipeline.new_book.text import BookText

SEED = "<seed>"


def add_block(
    chain: Chain, seeds: Sequence[int], expansion: Expansion, text: BookText, rows: Mapping[str, Mapping[str, Any]]
) -> Expansion:
    """Write the block, its rows of means and params.yaml; nothing where all entries are there.

    Args:
        rows: of ``table.repeats``, with the evaluations under the new seeds.

    Returns:
        What the book says then.

    Raises:
        ConfigurationError: another entry has a new name, some seeds are there and some are not, or the text does not
            say what it should with the block. Nothing is written then.
    """
    missing = chain.missing(expansion.content, seeds)
    for (verb, name), entries in missing.items():
        if 0 < len(entries) < len(seeds):
            there = [seed for seed in seeds if seeded(name, seed) not in entries]
            raise ConfigurationError(
                f"{expansion.written.name}: {verb}.{seeded(name, there[0])} is there, and {verb}.{next(iter(entries))} "
                f"is not. Remedy: name the seeds {', '.join(map(str, there))} and the others in commands of their own."
            )
    block = _Block(chain, expansion, text, {node for node, entries in missing.items() if entries}, rows)
    added = "".join(block.lines(seeds))
    if not added and not rows:
        return expansion
    new, whole = _expanded(expansion, text, block, added, rows)
    expected = _expected(expansion.content, missing, rows)
    if new is None or new.content != expected:
        row_lines = "".join(f"# table.repeats: {flat_line(key, row)}\n" for key, row in block.rows_of_table().items())
        raise ConfigurationError(
            f"{expansion.written.name}: expected a text to which a block can be added at its end, found another form. "
            f"Remedy: add this by hand:\n{row_lines}{added}"
        )
    write_source(chain.file.with_name(SOURCE), whole, new)
    return new


def _expanded(
    expansion: Expansion, text: BookText, block: _Block, added: str, rows: Mapping[str, Any]
) -> tuple[Expansion | None, str]:
    """The text with the rows and the block, and its expansion; None where it is none."""
    table = expansion.written.content.get("table")
    lines = [flat_line(key, row) for key, row in block.rows_of_table().items()]
    if isinstance(table, dict):
        text.insert_rows(lines, bool(table.get("repeats")))
    elif rows:
        added = "".join(["\ntable:\n  repeats:\n", *(f"    {line}\n" for line in lines), added])
    whole = str(text) + added
    try:
        return expand(whole, expansion.written.name), whole
    except ConfigurationError:
        return None, whole


def _expected(
    content: Mapping[str, Any], missing: Mapping[Node, Mapping[str, Any]], rows: Mapping[str, Any]
) -> dict[str, Any]:
    made = {key: dict(value) if isinstance(value, dict) else value for key, value in content.items()}
    for (verb, _), entries in missing.items():
        made[verb].update(entries)
    if rows:
        table = made.get("table") or {}
        made["table"] = {**table, "repeats": {**(table.get("repeats") or {}), **rows}}
    return made


class _Block:
    """The lines of the block."""

    def __init__(
        self,
        chain: Chain,
        expansion: Expansion,
        text: BookText,
        missing: set[Node],
        rows: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._chain, self._expansion, self._text, self._missing = chain, expansion, text, missing
        self._means = {row["of"][0]: key for key, row in rows.items()}
        self._rows = rows
        self._judged = {node for node in missing if node[0] == "evaluate" and self._can_be_judged(node)}

    def rows_of_table(self) -> dict[str, dict[str, Any]]:
        """The rows as they have to be written: ``judge:`` adds its evaluations itself."""
        judged = {name for _, name in self._judged}
        return {
            key: {"of": row["of"][:1] if row["of"][0] in judged else list(row["of"])} for key, row in self._rows.items()
        }

    def lines(self, seeds: Sequence[int]) -> list[str]:
        """The block; nothing where no entry is missing."""
        sections: dict[str, list[str]] = {}
        for node in self._chain.nodes:
            if node in self._missing and node not in self._judged:
                sections.setdefault(node[0], []).append(f"    {self._entry(node)}\n")
        if not sections:
            return []
        ends = ", ".join(map("@".join, self._chain.targets))
        head = f"\n# By `python -m pipeline repeat`: {ends} under other seeds. For more of them add to the list.\n"
        lines = [head, f"{self._name()}:\n", f"  each: {{seed: {list(seeds)}}}\n"]
        for verb, entries in sections.items():
            lines += [f"  {verb}:\n", *entries]
        return lines

    def _name(self) -> str:
        return numbered(f"{slug(self._chain.targets[0][1])}_seeds", self._expansion.written.content)

    def _can_be_judged(self, node: Node) -> bool:
        """Whether ``judge:`` of the entry that it measures, which is new, makes this evaluation."""
        measured = self._chain.inputs(node).get("of")
        entry = self._given(node)
        return (
            measured in self._missing
            and measured is not None
            and measured[0] in COLUMN
            and entry.get("data") == self._given(measured).get("data")
            and entry.keys() <= {"data", "of", "split", "options"}
        )

    def _given(self, node: Node) -> dict[str, Any]:
        entry: dict[str, Any] = self._expansion.content[node[0]][node[1]]
        return entry

    def _entry(self, node: Node) -> str:
        """An entry in a line; it begins as the original, or as that one begins, where there is an anchor."""
        name, entry = seeded(node[1], SEED), self._chain.under(node, self._given(node), SEED)
        judgements = [self._judge(one, node, name) for one in sorted(self._judged) if self._measures(one, node)]
        if judgements:
            entry[JUDGE] = judgements if len(judgements) > 1 else judgements[0]
        anchor, written = self._text.beginning(self._expansion.sources[node])
        if not anchor or not written.keys() <= {*entry, JUDGE}:
            return flat_line(name, entry)
        if JUDGE in written and JUDGE not in entry:
            entry[JUDGE] = False
        differing = {k: v for k, v in entry.items() if k not in written or repr(written[k]) != repr(v)}
        return flat_line(name, differing).replace("{", f"{{<<: *{anchor}, ", 1)

    def _measures(self, evaluation: Node, node: Node) -> bool:
        return self._chain.inputs(evaluation)["of"] == node

    def _judge(self, evaluation: Node, node: Node, name: str) -> Any:
        given, own = self._given(evaluation), seeded(evaluation[1], SEED)
        default = f"{name}_{self._given(node).get('split')}" if node[0] == "predict_masks" else name
        judge: dict[str, Any] = {} if own == default else {"name": own}
        judge |= {key: given[key] for key in ("split", "options") if key in given}
        if evaluation[1] in self._means:
            judge["mean"] = self._means[evaluation[1]]
        return judge or True
