"""A backbone by its name in a book."""

from __future__ import annotations

from typing import Any

from models.backbones import BACKBONES
from models.doors import resolve


def build_backbone(name: str, **options: Any) -> Any:
    """The backbone ``name`` with weights drawn from torch's generator.

    Args:
        name: of ``models.backbones``; ``timm/NAME`` for any network of timm.
        options: ``width``, ``output_stride``, ``freeze_bn``, ``frozen_stages``; without them the backbone's own.

    Raises:
        ConfigurationError: an unknown name, a package that is missing, or an option that the backbone does not offer.
    """
    kind = resolve(BACKBONES, name, "backbone")
    network = name.partition("/")[2]
    return kind.named(network, **options) if network else kind(**options)
