"""What a stage reads and writes, as the book's dvc.yaml says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigurationError
from pipeline.book.artifacts import code_fingerprint
from pipeline.book.check_graph import label_files, region_folders
from pipeline.book.graph_file import GRAPH, project_graph
from pipeline.book.lineage import Node
from pipeline.book.params import Book
from pipeline.book.yaml_text import parse_yaml

_VARIABLE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class Files:
    """Project-relative paths. ``reads`` leaves out the fingerprint of the code, which every stage has."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    gpu: bool = False
    """Whether ``meta: {gpu: 1}`` says that it computes on the device."""


class GraphFile:
    """The stanzas of a book's dvc.yaml, with the book's names put in."""

    def __init__(self, book: Book) -> None:
        """Raises ConfigurationError: there is no dvc.yaml, or it is no YAML."""
        self._book = book
        path = Path(book.book.path) / GRAPH.name
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else project_graph() or ""
            self._stages: dict[str, Any] = parse_yaml(text)["stages"]
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigurationError(
                f"{path}: expected the stages of the project's {GRAPH}, found none ({reason}). Run in the project's "
                f"root; the copy of a book is written by: python -m pipeline refresh {Path(book.book.path).as_posix()}"
            ) from None

    def files(self, node: Node) -> Files:
        """Of one entry; a file of labels, or a folder of region maps, that its options name is read too."""
        verb, name = node
        stanza = self._stages[verb]["do"]
        code = code_fingerprint(self._book.book.work, verb, name).as_posix()
        reads = [path for path in self._paths(stanza.get("deps", ()), node) if path != code]
        reads += [path for key, path in (*label_files(self._book), *region_folders(self._book)) if _is_of(key, node)]
        writes = [path for kind in ("outs", "metrics", "plots") for path in self._paths(stanza.get(kind, ()), node)]
        return Files(
            tuple(dict.fromkeys(reads)),
            tuple(dict.fromkeys(writes)),
            bool((stanza.get("meta") or {}).get("gpu")),
        )

    def _paths(self, items: Any, node: Node) -> Iterator[str]:
        for item in items:
            text = item if isinstance(item, str) else next(iter(item))
            yield Path(_VARIABLE.sub(lambda found: self._value(found[1], node), text)).as_posix()

    def _value(self, variable: str, node: Node) -> str:
        verb, name = node
        first, *rest = variable.split(".")
        if first == "key":
            return name
        value: Any = self._book.entry(verb, name) if first == "item" else getattr(self._book, first)
        for key in rest:
            value = getattr(value, key)
        return str(value)


def _is_of(key: str, node: Node) -> bool:
    return tuple(key.split(".")[:2]) == node
