"""The weights of a second encoder beside those of an official network, for a method that reads two (WeCLIP+)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.backbones.build import build_backbone
from models.errors import DataError
from pipeline.storage.checkpoints import BACKBONE, Card, StateDict, portable_state, write_checkpoint
from pipeline.weights.official.importing import OfficialNetwork
from pipeline.weights.pretrained import ImportedWeights

SECOND = "second."
"""In front of the second encoder's entries; that is what a method with two encoders calls it."""


def two_files(folder: Path, second: str) -> tuple[Path, Path]:
    """The two files of a folder: the official network's, whatever its name, and the one called ``second``.

    Raises:
        DataError: no folder, or other files in it.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if len(names) != 2 or second not in names:
        raise DataError(
            f"{folder}: expected a folder with two files, {second} and the official network's, found "
            f"{', '.join(names[:5]) or 'none'}. Remedy: copy these two there, and nothing else."
        )
    return folder / next(name for name in names if name != second), folder / second


def random_second(architecture: str) -> ImportedWeights:
    """The second encoder with random weights, for a try of a book without its files."""
    state: StateDict = {BACKBONE + name: value for name, value in build_backbone(architecture).state_dict().items()}
    return ImportedWeights(state, {"architecture": architecture, "untrained": True})


def save_with_second(folder: Path, published: OfficialNetwork, second: ImportedWeights) -> None:
    """Write both as weights to start from: a checkpoint without a method, for the classes of the official network."""
    state = dict(portable_state(published.method))
    state |= {SECOND + name.removeprefix(BACKBONE): value for name, value in second.state.items()}
    recipe: dict[str, Any] = {**published.card.recipe, "second": second.recipe}
    write_checkpoint(folder, state, Card(class_names=published.card.class_names, recipe=recipe))
