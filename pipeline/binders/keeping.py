"""Which features a training reads instead of computing them: those of its frozen backbones."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.backbones.base import Backbone
from models.errors import ConfigurationError
from pipeline.book.fingerprints import code_of
from pipeline.compute.scratch import SCRATCH
from pipeline.storage.kept_features import KeptFeatures

if TYPE_CHECKING:
    from torch import nn

FOLDER = SCRATCH / "features"


@dataclass(frozen=True)
class Keeping:
    """The memories of a training's frozen backbones."""

    name: str
    memories: tuple[KeptFeatures, ...]

    @classmethod
    def of(cls, name: str, network: nn.Module, views: int, how: dict[str, Any]) -> Keeping:
        """Give each frozen backbone of ``network`` its memory.

        Args:
            name: of the training, for messages.
            views: number of views of images that come again.
            how: what else decides the numbers: precision, device, layout in memory.

        Raises:
            ConfigurationError: no backbone is frozen.
        """
        frozen = [module for module in network.modules() if isinstance(module, Backbone) and module.frozen]
        if not frozen:
            raise ConfigurationError(f"train.{name}.settings.keep_features: expected a frozen backbone, found none.")
        memories = []
        for backbone in frozen:
            memory = KeptFeatures(partial(_folder, backbone, how), views)
            backbone.memory = memory
            memories.append(memory)
        return cls(name, tuple(memories))

    def require_use(self) -> None:
        """After a step. ConfigurationError: the page has asked no backbone for features."""
        if not self.said["read"] + self.said["computed"]:
            raise ConfigurationError(
                f"train.{self.name}.settings.keep_features: expected a page that reads its backbone's features, found "
                "one that looks past them. Remedy: leave keep_features out."
            )

    @property
    def said(self) -> dict[str, int]:
        """Maps of features that were read, and that were computed; of these, those that were added."""
        counts = {key: sum(memory.counts[key] for memory in self.memories) for key in ("read", "kept", "passed")}
        return {"read": counts["read"], "computed": counts["kept"] + counts["passed"], "added": counts["kept"]}

    def close(self) -> dict[str, int]:
        """:attr:`said`, with a warning where views did not come again."""
        said = self.said
        if lost := said["computed"] - said["added"]:
            warnings.warn(
                f"train.{self.name}: {lost} of {said['computed']} computed maps of features are of views that the page "
                "draws anew in each step; they were not kept.",
                stacklevel=2,
            )
        return said


def _folder(backbone: Backbone, how: dict[str, Any]) -> Path:
    """Of an encoder, by all that decides its features of an image."""
    structure = re.sub(r" at 0x[0-9a-f]+", "", repr(backbone))  # what has no weights: strides, dilations, activations
    weights = hashlib.sha256(structure.encode())
    for name, value in backbone.state_dict().items():
        weights.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        weights.update(value.detach().cpu().contiguous().numpy().tobytes())
    known = how | {
        "weights": weights.hexdigest(),
        "code": code_of([type(backbone).__module__]),
        "versions": [version(name) for name in ("torch", *(backbone.package or ())[:1])],
    }
    return FOLDER / hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:24]
