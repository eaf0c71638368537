"""Checkpoints: the weights of a network and the card that says what they are.

A checkpoint is a folder with ``model.safetensors`` (every state-dict entry, normalisation included) and
``checkpoint.json``. Same network and recipe, same bytes: no date, host or path is in either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from models.doors import resolve
from models.errors import ConfigurationError, DataError
from models.method import Method, layers
from models.methods import ADD_ONS, METHODS
from pipeline.problems.notices import first_of
from pipeline.storage.finite import require_finite
from pipeline.storage.sums import checked_bytes, write_sums
from pipeline.storage.whole import whole_folder

FORMAT = "weak2mask checkpoint, version 1"
WEIGHTS, CARD = "model.safetensors", "checkpoint.json"
BACKBONE = "backbone."
ADDED = "add_ons."
"""In front of the weights that an add-on had in training: who uses the page does not need them."""

StateDict = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Card:
    """What a checkpoint holds.

    Attributes:
        method: the page's name in the door, or "" for weights without a page (imported, or random).
        options: every keyword option of the page, defaults written out so that they may change later.
        class_names: the C foreground classes, class c is ``class_names[c - 1]``.
        recipe: how the weights came to be.
    """

    method: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InitReport:
    """What :func:`load_init` did: entries taken over, left as they start, and unused ones of the source."""

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        new = f" ({first_of(self.new, 5)})" if self.new else ""
        return f"{len(self.loaded)} entries loaded, {len(self.new)} start anew{new}, {len(self.unused)} not used"


def build_method(
    name: str,
    num_classes: int,
    options: Mapping[str, Any],
    seed: int = 0,
    add_ons: Mapping[str, Mapping[str, Any]] | None = None,
) -> Method:
    """Build a page with weights drawn from ``seed``; torch's global generator is left as it was.

    Args:
        add_ons: name in the door -> options, put around the page in the door's order, whatever order they are named in.

    Raises:
        ConfigurationError: no page, backbone, head or add-on of that name.
        TypeError: an option that the page does not have.
    """
    page, named = resolve(METHODS, name, "method"), add_ons or {}
    for unknown in named.keys() - ADD_ONS.keys():
        resolve(ADD_ONS, unknown, "add-on")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method: Method = page(num_classes, **options)
        for add_on in ADD_ONS:
            if add_on in named:
                method = resolve(ADD_ONS, add_on, "add-on")(method, **named[add_on])
    return method


def portable_state(method: Method) -> StateDict:
    """The page's own entries, and those of its add-ons as ``add_ons.NAME.ENTRY``; the tensors are not copied."""
    (_, page), *added = layers(method)
    state: StateDict = dict(page.state_dict())
    for name, add_on in added:
        of_add_on = {key: value for key, value in add_on.state_dict().items() if not key.startswith("base.")}
        state |= {f"{ADDED}{name}.{key}": value for key, value in of_add_on.items()}
    return state


def save_checkpoint(
    folder: Path, method: Method | None, *, recipe: Mapping[str, Any], class_names: Sequence[str] = ()
) -> None:
    """Write ``folder``: complete or absent, replacing what was there.

    Args:
        method: the trained page, with its add-ons or without, or None for an empty one ("random": from scratch).
        recipe: "method" (the page's name) and "options" (what it was built with), and whatever else is to be kept.
    """
    if method is None:
        write_checkpoint(folder, {}, Card(recipe=dict(recipe)))
        return
    name = recipe["method"]
    options = page_options(name, recipe.get("options", {}))
    write_checkpoint(folder, portable_state(method), Card(name, options, tuple(class_names), dict(recipe)))


def page_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every keyword option of the page ``name``: those ``given`` over its defaults."""
    page: type[Method] = resolve(METHODS, name, "method")
    return page.defaults() | dict(given)


def write_checkpoint(folder: Path, state: Mapping[str, Tensor], card: Card) -> None:
    """Write tensors and card into ``folder``, whole or not at all."""
    tensors = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    content = {
        "format": FORMAT,
        "method": card.method,
        "options": card.options,
        "class_names": list(card.class_names),
        "normalisation": {key: tensors[BACKBONE + key].flatten().tolist() for key in _normalisation(tensors)},
        "recipe": card.recipe,
    }
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with whole_folder(folder) as scratch:
        (scratch / WEIGHTS).write_bytes(write_tensors(tensors))
        (scratch / CARD).write_text(text, encoding="utf-8")
        write_sums(scratch, [WEIGHTS, CARD])


def read_checkpoint(folder: Path) -> tuple[Card, StateDict]:
    """Card and tensors (on the CPU) of ``folder``.

    Raises:
        DataError: no checkpoint there, another format, or a file that is damaged.
    """
    card, weights = folder / CARD, folder / WEIGHTS
    if not card.is_file() or not weights.is_file():
        raise DataError(
            f"No checkpoint at {folder}: expected {CARD} and {WEIGHTS}. "
            "Remedy: run the stage that makes it (dvc repro)."
        )
    try:
        content = json.loads(checked_bytes(card))
        format = content["format"]
        if format == FORMAT:
            fields = content["method"], content["options"], tuple(content["class_names"]), content["recipe"]
            if [type(field) for field in fields] != [str, dict, tuple, dict]:
                raise ValueError("a value of another type")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{card} is damaged ({error}). Remedy: run the stage that makes it again.") from None
    if format != FORMAT:
        raise DataError(
            f"{card}: expected format '{FORMAT}', found '{format}'. Remedy: make it again with this version."
        )
    state = _tensors(weights, checked_bytes(weights))
    require_finite(state, str(folder))
    return Card(*fields), state


def read_safetensors(path: Path) -> StateDict:
    """The tensors of a .safetensors file.

    Raises:
        DataError: the file is truncated or of another kind.
    """
    return _tensors(path, path.read_bytes())


def _tensors(path: Path, data: bytes) -> StateDict:
    try:
        state: StateDict = read_tensors(data)
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{path} is no whole .safetensors file ({error}). Remedy: copy or make it again.") from None
    return state


def load_method(folder: Path, class_names: Sequence[str] | None = None) -> Method:
    """The page of a checkpoint with its weights, in eval mode, on the CPU.

    Args:
        class_names: what its classes must be; None takes any, and a network that tells no classes apart fits all.

    Raises:
        DataError: the checkpoint has no page, one that is unknown or of another version, or other classes.
    """
    card, state = read_checkpoint(folder)
    if not card.method:
        raise DataError(
            f"{folder} holds weights to start from, not a trained method. Remedy: name a trained checkpoint."
        )
    if class_names is not None and card.class_names and card.class_names != tuple(class_names):
        raise DataError(
            f"{folder}: expected the classes {first_of(class_names, 5)}, found {first_of(card.class_names, 5)}. "
            "Remedy: name a checkpoint that was trained on a data set with the same classes in the same order."
        )
    try:
        method = build_method(card.method, len(card.class_names), card.options)
    except (TypeError, ConfigurationError) as error:
        raise DataError(
            f"{folder}: method '{card.method}' of this version no longer takes the options that it was saved with "
            f"({error}). Remedy: run the stage that makes the checkpoint again."
        ) from None
    state = {name: value for name, value in state.items() if not name.startswith(ADDED)}
    problems = differences(_shapes(method.state_dict()), _shapes(state))
    if problems:
        raise DataError(f"{folder} does not fit method '{card.method}' of this version:\n{problems}")
    method.load_state_dict(state)
    return method.eval()


def load_init(method: Method, folder: Path, class_names: Sequence[str] = ()) -> InitReport:
    """Start ``method`` from another checkpoint, in place.

    The backbone with its normalisation must be there as a whole, unless the checkpoint is empty. A head
    is taken over where all its names and shapes agree and the checkpoint was trained for ``class_names``.

    Raises:
        DataError: the backbone does not fit, or what the page does not learn is missing; the message names entries.
    """
    card, source = read_checkpoint(folder)
    target = portable_state(method)
    if not source:
        return InitReport((), tuple(target), ())
    wanted, given = _shapes(target), _shapes(source)
    backbone = {name: shape for name, shape in wanted.items() if name.startswith(BACKBONE)}
    problems = differences(backbone, {name: shape for name, shape in given.items() if name in backbone})
    if problems:
        made = f"method '{card.method}'" if card.method else f"architecture '{card.recipe.get('architecture', '?')}'"
        raise DataError(
            f"{folder} ({made}) does not fit the backbone to be trained:\n{problems}\n"
            "Remedy: the same backbone and width in both, or another init."
        )
    taken = dict(backbone)
    if card.class_names == tuple(class_names):
        for part in sorted({_part(name) for name in wanted.keys() - backbone.keys()}):
            entries = {name: shape for name, shape in wanted.items() if _part(name) == part}
            if all(given.get(name) == shape for name, shape in entries.items()):
                taken |= entries
    brought = next(layers(method))[1].from_init
    if missing := [name for name in wanted if _part(name) in brought and name not in taken]:
        raise DataError(
            f"{folder} lacks what the method does not learn, for these classes: {first_of(missing, 5)}. "
            "Remedy: an init that has it, such as an import of CLIP with the texts of these classes."
        )
    for name in taken:
        target[name].copy_(source[name])
    new, unused = (tuple(name for name in state if name not in taken) for state in (wanted, given))
    return InitReport(tuple(taken), new, unused)


def differences(expected: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]) -> str:
    """Missing, unexpected and differently shaped entries, a line each with a count and the first few; "" if none."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    shapes = [
        f"{name} (expected {list(shape)}, found {list(found[name])})"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    lines = (
        f"  {len(names)}{of}: {first_of(names, 5)}"
        for names, of in (
            (missing, f" of {len(expected)} entries missing"),
            (shapes, f" of {len(expected)} entries of another shape"),
            (unexpected, " unexpected entries"),
        )
        if names
    )
    return "\n".join(lines)


def _part(name: str) -> str:
    """The head, or the add-on, that an entry belongs to."""
    return ".".join(name.split(".")[: 2 if name.startswith(ADDED) else 1])


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _normalisation(state: Mapping[str, Tensor]) -> list[str]:
    return [key for key in ("mean", "std") if BACKBONE + key in state]
