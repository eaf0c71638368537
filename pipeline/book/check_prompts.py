"""What ``check`` finds wrong with the prompts of an imported network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from models.backbones import BACKBONES
from models.errors import ConfigurationError, closest
from pipeline.weights.official.table import OFFICIAL
from pipeline.weights.prompts import prompted_classes

TOKENIZER, EXTRA = "open_clip", "clip"


def prompt_problems(where: str, entry: Any) -> Iterator[str]:
    """Prompts must be there where classes are texts, and nowhere else; their words must be of known classes."""
    if entry.second is not None:
        yield from _second_problems(f"{where}.second", entry)
    prompted = [name for name, one in OFFICIAL.items() if one.prompted]
    if entry.official not in prompted:
        if entry.prompts is not None:
            yield f"{where}.prompts: only networks that know classes by texts have prompts: {', '.join(prompted)}."
        return
    if entry.prompts is None:
        if not entry.untrained:
            yield f"{where}: '{entry.official}' needs `prompts:`, with background words (docs/methods/clip_es.md)."
        return
    try:
        entry.prompts.texts(prompted_classes(entry.classes))
    except ConfigurationError as error:
        yield f"{where}.{error}"
    if not entry.untrained and find_spec(TOKENIZER) is None:
        yield (
            f"{where}.prompts: they are split into tokens by {TOKENIZER}, which is not installed. "
            f"Remedy: pip install 'weak2mask[{EXTRA}]'."
        )


def _second_problems(where: str, entry: Any) -> Iterator[str]:
    """A second encoder stands beside an official network, and is known."""
    if not entry.official:
        yield f"{where}: only an official network has a second encoder beside it. Remedy: `official: clip_es`."
    if entry.second.architecture not in BACKBONES:
        known = closest(entry.second.architecture, BACKBONES)
        yield f"{where}.architecture: unknown backbone '{entry.second.architecture}'.{known}"
