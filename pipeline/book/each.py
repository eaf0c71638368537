"""``each:`` in a book.yaml: what is below it stands once for each combination of its values.

``each: {kind: [points, boxes], seed: [0, 1]}`` makes four of an entry ``<kind>_<seed>``. A value may have facts:
``each: {kind: {points: {label: Points}, boxes: {label: Boxes}}}``, which ``<kind.label>`` stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from models.errors import closest
from pipeline.book.written import Path, Written

EACH = "each"
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_PLACEHOLDER = re.compile(r"<([\w.-]+)>")


@dataclass(frozen=True)
class _Choice:
    """One value of a variable, and its facts."""

    value: Any
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Scope:
    """The values that placeholders stand for at one place of a book.

    Attributes:
        written: the book.
        elsewhere: every variable that the book has, here or at another place.
        chosen: the variables of this place.
        declared: where each of them is declared.
    """

    written: Written
    elsewhere: frozenset[str] = frozenset()
    chosen: Mapping[str, _Choice] = field(default_factory=dict)
    declared: Mapping[str, Path] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """The value of each variable of this place."""
        return {name: choice.value for name, choice in self.chosen.items()}

    def each(self, mapping: Mapping[Any, Any], path: Path) -> Iterator[Scope]:
        """The scopes below a mapping: this one alone, or one for each combination of its ``each:``, the first variable
        outermost.

        Raises:
            ConfigurationError: ``each:`` is no product of values, or has a variable that an ``each:`` above it has.
        """
        if EACH not in mapping:
            yield self
            return
        below = (*path, EACH)
        variables = self._variables(mapping[EACH], below)
        declared = {**self.declared, **{name: (*below, name) for name in variables}}
        for choices in product(*variables.values()):
            chosen = {**self.chosen, **dict(zip(variables, choices, strict=True))}
            yield Scope(self.written, self.elsewhere, chosen, declared)

    def filled(self, value: Any, path: Path) -> Any:
        """``value`` with every placeholder in its texts and keys replaced. One that is a whole text leaves its type.

        Raises:
            ConfigurationError: a placeholder that stands for nothing here; the message has the closest one.
        """
        if isinstance(value, str):
            whole = _PLACEHOLDER.fullmatch(value)
            return self._meant(whole, path) if whole else self.text(value, path)
        if isinstance(value, list):
            return [self.filled(one, (*path, str(number))) for number, one in enumerate(value)]
        if not isinstance(value, dict):
            return value
        made: dict[Any, Any] = {}
        for key, one in value.items():
            place = (*path, str(key))
            name = self.text(key, place) if isinstance(key, str) else key
            if name in made:
                raise self.written.error(place, f"key '{name}' stands twice, once its placeholders are replaced.")
            made[name] = self.filled(one, place)
        return made

    def text(self, text: str, path: Path) -> str:
        """A text with its placeholders replaced; the values have to be words or numbers."""

        def word(found: re.Match[str]) -> str:
            meant = self._meant(found, path)
            if isinstance(meant, bool) or not isinstance(meant, str | int | float):
                raise self.written.error(
                    path, f"{found[0]} stands for {meant!r:.60}: expected a word or a number within the text '{text}'."
                )
            return str(meant)

        return _PLACEHOLDER.sub(word, text)

    def require_all_in(self, name: str, path: Path) -> None:
        """The name of an entry has to differ with every variable.

        Raises:
            ConfigurationError: it does not name one, so that the entry would be made again for each of its values.
        """
        named = {found.partition(".")[0] for found in _PLACEHOLDER.findall(name)}
        for variable, declared in self.declared.items():
            if variable not in named:
                raise self.written.error(
                    path,
                    f"'{name}' would be made again for each {variable} ({self.written.at(declared)}): write "
                    f"<{variable}> in its name, or move it to where {variable} does not vary.",
                )

    def _meant(self, found: re.Match[str], path: Path) -> Any:
        """What a placeholder stands for; itself where the book has no such variable and nothing varies."""
        variable, dot, fact = found[1].partition(".")
        if variable not in self.chosen:
            if not self.chosen and variable not in self.elsewhere:
                return found[0]
            raise self.written.error(path, f"unknown placeholder {found[0]}.{self._hint(variable)}")
        choice = self.chosen[variable]
        if not dot:
            return choice.value
        if fact not in choice.facts:
            raise self.written.error(
                path,
                f"unknown placeholder {found[0]}: no '{fact}' of {variable} {choice.value} "
                f"({self.written.at(self.declared[variable])}).{closest(fact, choice.facts)}",
            )
        return choice.facts[fact]

    def _hint(self, variable: str) -> str:
        if self.chosen:
            return closest(variable, self.chosen)
        return f" It stands outside of the `{EACH}:` that has {variable}: move it below that."

    def _variables(self, given: Any, path: Path) -> dict[str, list[_Choice]]:
        expected = "variables with their values, such as {seed: [0, 1, 2]}"
        variables = self.written.require_mapping(given, path, expected)
        if not variables:
            raise self.written.error(path, f"{EACH}: expected {expected}, found none.")
        for name in variables:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise self.written.error(
                    (*path, str(name)), f"{EACH}: expected names in lower case, digits and underscores, found '{name}'."
                )
            if name in self.declared:
                raise self.written.error(
                    (*path, name),
                    f"{EACH}: '{name}' varies already ({self.written.at(self.declared[name])}). Use another name.",
                )
        return {
            name: self._choices(name, self.filled(values, (*path, name)), path) for name, values in variables.items()
        }

    def _choices(self, name: str, values: Any, path: Path) -> list[_Choice]:
        place = (*path, name)
        if not isinstance(values, list | dict) or not values:
            raise self.written.error(
                place,
                f"{EACH}: expected the values of {name} in a list, or each with its facts, found {values!r:.60}.",
            )
        choices: list[_Choice] = []
        for number, value in enumerate(values):
            here = (*place, str(value) if isinstance(values, dict) else str(number))
            if not isinstance(value, str | int | float):
                raise self.written.error(here, f"{EACH}: expected words or numbers for {name}, found {value!r:.60}.")
            if any(value == other.value and type(value) is type(other.value) for other in choices):
                raise self.written.error(here, f"{EACH}: the value {value!r} of {name} stands twice.")
            facts = values[value] if isinstance(values, dict) else {}
            if facts is not None:
                self.written.require_mapping(facts, here, f"facts of {name} {value}, such as {{label: ...}}")
            choices.append(_Choice(value, facts or {}))
        return choices


def variables_of(mapping: Mapping[Any, Any]) -> Iterator[str]:
    """Every name that an ``each:`` below a mapping declares, wherever it stands."""
    for key, value in mapping.items():
        if key == EACH and isinstance(value, dict):
            yield from map(str, value)
        elif isinstance(value, dict):
            yield from variables_of(value)
