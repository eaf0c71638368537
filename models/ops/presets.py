"""Published settings that a recipe asks for by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from models.errors import ConfigurationError, closest

T = TypeVar("T")


def preset_of(presets: Mapping[str, T], name: str, what: str) -> T:
    """The settings called ``name``.

    Args:
        presets: name -> settings.
        name: a key of ``presets``.
        what: whose presets they are, for the message ("random walk").

    Raises:
        ConfigurationError: there is no such preset; the message has the closest one.
    """
    if name not in presets:
        raise ConfigurationError(f"Unknown {what} preset '{name}'.{closest(name, presets)}")
    return presets[name]
