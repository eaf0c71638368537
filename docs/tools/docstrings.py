"""What docstrings say of options: Google's sections ``Args`` and ``Attributes``, as Markdown."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

SECTION = re.compile(r"^(?:Args|Attributes):\n((?:(?: +.*)?\n?)*)", re.M)
OTHER = re.compile(r"^(?:Args|Attributes|Raises|Returns|Yields|Source|Sources):", re.M)
AS_IN = re.compile(r"^as in :(?:class|func):`(?:[\w.]*\.)?(\w+)`\.?$")
KEY_OF = re.compile(r"\bkey of :data:`(?:[\w.]*\.)?(\w+)`")
ROLE = re.compile(r":\w+:`~?([^`]*)`")


def meanings(component: Any) -> dict[str, str]:
    """Option -> what the docstrings of a function or of a class and its bases say of it, as Markdown."""
    texts: dict[str, str] = {}
    for owner in reversed(inspect.getmro(component)) if isinstance(component, type) else (component,):
        for documented in dict.fromkeys((owner, getattr(owner, "__dict__", {}).get("__init__", owner))):
            options = _options(inspect.cleandoc(documented.__doc__ or ""))
            texts |= {name: _followed(name, meaning, owner) for name, meaning in options}
    return {name: _sentence(markdown(meaning)) for name, meaning in texts.items()}


def _sentence(text: str) -> str:
    """What a cell says: it begins with a capital, and says null for None, as YAML does."""
    return re.sub(r"\bNone\b", "null", text[:1].upper() + text[1:])


def attributes(model: type) -> dict[str, str]:
    """Field -> the string that stands below it in the class, and in its bases, as Markdown."""
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if owner.__module__.partition(".")[0] not in ("models", "stages", "pipeline"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, after in zip(body.body, body.body[1:], strict=False):
            below = after.value if isinstance(after, ast.Expr) else None
            if isinstance(node, ast.AnnAssign) and isinstance(below, ast.Constant) and isinstance(below.value, str):
                texts[ast.unparse(node.target)] = markdown(below.value)
    return texts


def summary(component: Any) -> str:
    """A docstring up to its first section, as Markdown."""
    text = inspect.cleandoc(component.__doc__ or "")
    return markdown(OTHER.split(text)[0].replace("Picklable.", "").strip(), keep_lines=True)


def markdown(text: str, *, keep_lines: bool = False) -> str:
    """Text of a docstring: code in single backticks, no roles, one line unless its paragraphs are to be kept."""
    text = ROLE.sub(lambda match: f"`{match[1].rpartition('.')[2]}`", text).replace("``", "`")
    return text if keep_lines else " ".join(text.split())


def _options(text: str) -> Iterator[tuple[str, str]]:
    """(option, text) of the sections; an entry of several names counts for each."""
    for section in SECTION.findall(text):
        for entry in re.split(r"\n(?=\S)", textwrap.dedent(section).strip()):
            names, colon, meaning = entry.partition(":")
            if colon:
                yield from ((name.strip(), " ".join(meaning.split())) for name in names.split(","))


def _followed(name: str, meaning: str, owner: Any) -> str:
    """A text that refers to another class, or to the keys of a table, with what these say."""
    module = vars(sys.modules[owner.__module__])
    if (match := AS_IN.match(meaning)) and match[1] in module:
        other = module[match[1]]
        return meanings(other).get(name) or attributes(other).get(name) or meaning
    return KEY_OF.sub(lambda match: "one of " + ", ".join(f"``{key}``" for key in module.get(match[1], {})), meaning)
