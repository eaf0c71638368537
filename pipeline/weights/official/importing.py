"""A checkpoint that a paper published -> a checkpoint of this project."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import ConfigurationError, DataError, closest
from models.method import Method, layers
from pipeline.storage.checkpoints import (
    BACKBONE,
    Card,
    StateDict,
    build_method,
    differences,
    page_options,
    portable_state,
    write_checkpoint,
)
from pipeline.weights.official.rules import Official
from pipeline.weights.official.table import OFFICIAL
from pipeline.weights.pretrained import NORMALISATIONS, Normalisation, read_entries
from pipeline.weights.prompts import Prompts, prompted_classes

PREFIX = "module."
"""In front of every entry of a file that was saved from a network on several devices."""
COUNTERS = "num_batches_tracked"


@dataclass(frozen=True)
class OfficialNetwork:
    """An official network with the weights of a file.

    Attributes:
        method: the page, with add-ons where the network has some, in evaluation mode.
        card: what the checkpoint will say of it.
        ignored: entries of the file that nothing here needs.
    """

    method: Method
    card: Card
    ignored: tuple[str, ...]


def import_official(
    name: str,
    file: Path,
    class_names: Sequence[str] | None = None,
    prompts: Prompts | None = None,
    normalisation: Normalisation | None = None,
) -> OfficialNetwork:
    """Read a published checkpoint.

    Args:
        name: of :data:`OFFICIAL`.
        file: .pth, .pt (tensors only: files that hold Python objects are refused), .safetensors or .npz.
        class_names: the C foreground classes in the network's order; None for VOC's 20 or COCO's 80.
        prompts: of a network whose classes are texts (None: VOC's 20 where ``class_names`` is None).
        normalisation: of its input, where that is not the published one.

    Raises:
        ConfigurationError: no official network of that name, or class names or prompts are needed.
        DataError: the file is missing, damaged, holds code, or its entries are not the network's.
    """
    official = find_official(name)
    entries = read_entries(file, official.parts)
    recipe: dict[str, Any] = {"official": name, "file": file.name}
    recipe["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    options: Mapping[str, Any] = {}
    if official.prompted:
        from pipeline.weights.texts import with_texts

        entries, options = with_texts(entries, prompts, class_names, str(file))
        class_names = prompted_classes(class_names)
        recipe["prompts"] = prompts.model_dump() if prompts else None
    if scaled := normalisation or official.normalisation:
        values = (torch.tensor(one).view(1, 3, 1, 1) for one in NORMALISATIONS[scaled])
        entries |= dict(zip((f"{BACKBONE}mean", f"{BACKBONE}std"), values, strict=True))
    return from_entries(name, entries, class_names, str(file), recipe, options)


def find_official(name: str) -> Official:
    """The network called ``name``; ConfigurationError with the closest name."""
    if name not in OFFICIAL:
        raise ConfigurationError(f"Unknown official network '{name}'.{closest(name, OFFICIAL)}")
    return OFFICIAL[name]


def from_entries(
    name: str,
    entries: Mapping[str, Tensor],
    class_names: Sequence[str] | None = None,
    where: str = "entries",
    recipe: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> OfficialNetwork:
    """As :func:`import_official`, of entries in memory; ``where`` names them in messages.

    ``options`` of the page go before the published ones.
    """
    official = find_official(name)
    state, ignored = _renamed(official, entries)
    names = _class_names(official, state, class_names, where)
    chosen = {**official.options, **(options or {})}
    method = build_method(official.method, len(names), chosen, add_ons=official.add_ons)
    _load(method, official, state, where, fitting(entries))
    card = Card(
        official.method,
        page_options(official.method, chosen),
        names if official.classes else (),
        {"source": official.source, **(recipe or {})},
    )
    return OfficialNetwork(method.eval(), card, ignored)


def untrained(name: str, class_names: Sequence[str] | None = None, prompts: Prompts | None = None) -> OfficialNetwork:
    """The network called ``name`` with random weights: its shape and costs without its file.

    Args:
        name: of :data:`OFFICIAL`.
        class_names: the C foreground classes; None for VOC's 20.
        prompts: of a network whose classes are texts; here they count alone.

    Raises:
        ConfigurationError: no official network of that name.
    """
    from pipeline.datasets.class_names import VOC_CLASSES

    official = find_official(name)
    names = tuple(class_names or VOC_CLASSES)
    chosen = {**official.options, **({"backgrounds": len(prompts.background)} if prompts else {})}
    method = build_method(official.method, len(names), chosen, add_ons=official.add_ons)
    options = page_options(official.method, chosen)
    recipe = {"official": name, "untrained": True}
    return OfficialNetwork(method.eval(), Card(official.method, options, names if official.classes else (), recipe), ())


def save_official(folder: Path, published: OfficialNetwork) -> None:
    """Write it as a checkpoint."""
    write_checkpoint(folder, portable_state(published.method), published.card)


def _renamed(official: Official, entries: Mapping[str, Tensor]) -> tuple[StateDict, tuple[str, ...]]:
    """Entries under our names (unknown ones under their own), and those of the file that are not needed."""
    state: StateDict = {}
    ignored = []
    for raw, value in entries.items():
        name = "::".join(part.removeprefix(PREFIX) for part in raw.split("::"))
        new_name = next(
            (re.sub(pattern, new, name) for pattern, new in official.rules if re.match(pattern, name)), None
        )
        if new_name is not None:
            halves = new_name.split(" | ")
            state |= dict(zip(halves, value.chunk(len(halves)) if len(halves) > 1 else [value], strict=True))
        elif any(re.match(pattern, name) for pattern in official.ignored):
            ignored.append(name)
        else:
            state[name] = value
    return state, tuple(ignored)


def _class_names(
    official: Official, state: StateDict, class_names: Sequence[str] | None, where: str
) -> tuple[str, ...]:
    from pipeline.datasets.class_names import COCO_CLASSES, VOC_CLASSES

    if not official.classes:
        return VOC_CLASSES
    if official.classes not in state:
        raise DataError(
            f"{where} lacks the entry that becomes {official.classes}, which tells the number of classes. "
            f"Remedy: name the network that the file was made for; this one is {official.source}."
        )
    count = state[official.classes].shape[0] - official.background
    if class_names is not None:
        if len(class_names) != count:
            raise ConfigurationError(f"{where}: expected {count} class names, found {len(class_names)}.")
        return tuple(class_names)
    known = {len(names): names for names in (VOC_CLASSES, COCO_CLASSES)}
    if count not in known:
        raise ConfigurationError(
            f"{where} has {count} classes, neither VOC's 20 nor COCO's 80. Remedy: name them under `classes:`."
        )
    return known[count]


def fitting(entries: Iterable[str]) -> list[str]:
    """Names of the official networks that have every entry of a file, by name."""
    plain = ["::".join(part.removeprefix(PREFIX) for part in raw.split("::")) for raw in entries]
    known = {name: (*(pattern for pattern, _ in one.rules), *one.ignored) for name, one in OFFICIAL.items()}
    return [
        name for name, rules in known.items() if all(any(re.match(rule, entry) for rule in rules) for entry in plain)
    ]


def _load(method: Method, official: Official, state: StateDict, where: str, fits: Sequence[str]) -> None:
    """Copy ``state`` into ``method``: every entry there and of its shape."""
    (_, page), *_ = layers(method)
    backbone: Any = page.backbone
    target = portable_state(method)
    ordered = _in_own_order(state, backbone)
    for name, value in target.items():
        if name not in ordered and _made_here(name):
            ordered[name] = value
        elif value.shape[2:] == (1, 1) and name in ordered and ordered[name].dim() == 2:
            ordered[name] = ordered[name][:, :, None, None]  # a linear layer, which is a 1x1 convolution here
    problems = differences({k: v.shape for k, v in target.items()}, {k: v.shape for k, v in ordered.items()})
    if problems:
        candidates = f" ({', '.join(fits)}?)" if fits else ""
        raise DataError(
            f"{where} does not hold the network of {official.source}, under our names:\n{problems}\n"
            f"Remedy: name the network that the file was made for{candidates}."
        )
    for name, value in target.items():
        value.copy_(ordered[name])


def _in_own_order(state: StateDict, backbone: Any) -> StateDict:
    """The same, with backbone entries under the backbone's own names and in its order of channels."""
    ordered: StateDict = {}
    for name, value in state.items():
        if name.startswith(BACKBONE):
            name_here = backbone.own_name(name.removeprefix(BACKBONE))
            ordered[BACKBONE + name_here] = backbone.own_value(name_here, value)
        else:
            ordered[name] = value
    return ordered


def _made_here(name: str) -> bool:
    """Entries that no published file needs to have: normalisation, counters, and what our pages add."""
    return name.endswith((COUNTERS, f"{BACKBONE}mean", f"{BACKBONE}std")) or name.startswith(("averaged", "bank."))
