"""What an entry of a book stands on: the names in the entries are the graph."""

from __future__ import annotations

from typing import TypeAlias

from pipeline.book.artifacts import kind_of
from pipeline.book.params import Book

Node: TypeAlias = tuple[str, str]
"""(verb, name) of an entry."""

REFERENCES = {
    "data": "catalogues",
    "supervision": "supervision",
    "over": "supervision",
    "init": "checkpoints",
    "checkpoint": "checkpoints",
    "cams": "cams",
    "other": "cams",
    "proposals": "proposals",
}
"""Keys whose value names an artefact that another entry makes."""


def entry_inputs(book: Book, verb: str, name: str) -> dict[str, Node]:
    """Key of the entry -> the entry that makes what it names; names that nothing makes are left out."""
    entry = book.entry(verb, name)
    named = {key: (kind, getattr(entry, key, None)) for key, kind in REFERENCES.items()}
    if verb == "evaluate":
        kind, _, value = entry.of.partition("/")
        named["of"] = (kind, value)
    makers = {key: (book.producer(kind, value), value) for key, (kind, value) in named.items() if value}
    return {key: (maker[0], value) for key, (maker, value) in makers.items() if maker is not None}


def ancestors(book: Book, verb: str, name: str) -> list[Node]:
    """Every entry that this one stands on and itself last; inputs before what is made from them, each once."""
    nodes: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in nodes:
            for below in entry_inputs(book, *node).values():
                visit(below)
            nodes[node] = None

    visit((verb, name))
    return list(nodes)


def artefact_name(node: Node) -> str:
    """What an entry makes: ``("export_cams", "cam")`` -> ``"cams/cam"``."""
    return f"{kind_of(node[0])}/{node[1]}"
