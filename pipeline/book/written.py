"""A book.yaml as a person wrote it, and errors that name its lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import yaml

from models.errors import ConfigurationError, closest
from pipeline.book.yaml_text import compose_yaml, line, parse_yaml

Path: TypeAlias = tuple[str, ...]
"""Keys from the top of the text down to a place in it, as they stand there, placeholders and all."""


class Written:
    """The text of a book.yaml.

    Attributes:
        name: what messages call the file: ``recipes/mine/book.yaml``.
        content: what the text says, merges (``<<``) resolved.

    Raises:
        ConfigurationError: the text is no YAML, has a key twice, or no sections.
    """

    def __init__(self, text: str, name: str = "book.yaml") -> None:
        self.name, self._text = name, text
        try:
            content = parse_yaml(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(content, dict):
            raise ConfigurationError(f"{name}: expected sections (book:, prepare:, train:, ...), found {content!r:.60}")
        self.content: dict[Any, Any] = content

    @cached_property
    def _root(self) -> yaml.Node | None:
        return compose_yaml(self._text)

    def line(self, path: Path) -> int | None:
        """The line of the key at ``path``, or of what of it there is; None where nothing of it is."""
        return line(self._root, path)

    def at(self, path: Path) -> str:
        """The place in words, as ``line 12``."""
        number = self.line(path)
        return f"line {number}" if number else "line ?"

    def error(self, path: Path, message: str) -> ConfigurationError:
        """An error about the key at ``path``: ``recipes/mine/book.yaml line 12: ...``."""
        return ConfigurationError(f"{self.name} {self.at(path)}: {message}")

    def require_mapping(self, value: object, path: Path, expected: str) -> Mapping[Any, Any]:
        """``value`` if it is a mapping.

        Raises:
            ConfigurationError: it is something else.
        """
        if not isinstance(value, dict):
            raise self.error(path, f"{path[-1]}: expected {expected}, found {_in_words(value)}.")
        return value

    def require_keys(self, mapping: Mapping[Any, Any], known: Iterable[str], path: Path) -> None:
        """Every key has to be one of ``known``.

        Raises:
            ConfigurationError: one is not; the message has the closest one.
        """
        valid = list(known)
        for key in mapping:
            if key not in valid:
                raise self.error((*path, str(key)), f"{path[-1]}: unknown key '{key}'.{closest(str(key), valid)}")


def _in_words(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.60}"
