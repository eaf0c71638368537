"""Doors: every folder of interchangeable components maps names to ``"module:attribute"`` strings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from models.errors import ConfigurationError, closest


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
