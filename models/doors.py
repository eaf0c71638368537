"""Doors: every folder of interchangeable components maps names to ``"module:attribute"`` strings."""

from __future__ import annotations

import re
from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from models.errors import ConfigurationError, closest


class Door(UserDict[str, str]):
    """Names to "module:attribute"; the key ``LIBRARY/NAME`` stands for every name of that form."""

    def __missing__(self, name: str) -> str:
        if (form := _form(name)) in self.data:
            return self.data[form]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in self.data or (isinstance(name, str) and _form(name) in self.data)


def _form(name: str) -> str:
    return re.sub(r"/[\w.-]+$", "/NAME", name)


def resolve(door: Mapping[str, str], name: str, what: str) -> Any:
    """Import the component that ``name`` stands for.

    Args:
        door: names to ``"module:attribute"``.
        name: a key of ``door``.
        what: the kind of component, for the message ("backbone").

    Raises:
        ConfigurationError: the name is not in the door; the message has the closest one.
    """
    if name not in door:
        raise ConfigurationError(f"Unknown {what} '{name}'.{closest(name, door)}")
    module, _, attribute = door[name].partition(":")
    return getattr(import_module(module), attribute)
