"""A file of CLIP's two towers -> its image tower, and the features of the texts that tell classes apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from models.backbones.clip import ClipVit, ClipVitB16, ClipVitB32, ClipVitL14
from models.backbones.clip_names import official_names
from models.backbones.clip_text import ClipText, text_features
from models.errors import ConfigurationError, DataError
from models.ops.patch_text import enriched_text
from pipeline.storage.checkpoints import StateDict
from pipeline.weights.prompts import Prompts, prompted_classes

SIZES: dict[str, type[ClipVit]] = {
    "clip_vit_b16": ClipVitB16,
    "clip_vit_b32": ClipVitB32,
    "clip_vit_l14": ClipVitL14,
}


AROUND = r"^(module\.)?(encoder\.)?"
"""In front of the entries of both towers where a network was saved around them."""
TEXT_TOWER = ("token_embedding", "positional_embedding", "transformer.", "ln_final", "text_projection")

ROUNDS = 100
"""Of k-means, which has settled long before."""


def with_texts(
    entries: Mapping[str, Tensor], prompts: Prompts | None, class_names: Sequence[str] | None, where: str
) -> tuple[StateDict, dict[str, Any]]:
    """Entries under the official names, with ``texts.*`` of the prompts; and the options that they imply.

    Raises:
        ConfigurationError: no prompts, words for an unknown class, or open_clip is not installed.
        DataError: the file has not both towers, or they are of no known size.
    """
    if prompts is None:
        raise ConfigurationError(
            "expected `prompts:` (background words, and templates and words of classes), found none. "
            "Remedy: those of docs/methods/clip_es.md, section 2."
        )
    named = official_names({re.sub(AROUND, "", name): value for name, value in entries.items()})
    backbone = _size(named, where)
    texts = prompts.texts(prompted_classes(class_names))
    written = {name: value for name, value in named.items() if name.startswith(TEXT_TOWER)}
    try:
        tower = ClipText(written, SIZES[backbone].activation).eval()
    except ConfigurationError as error:
        raise DataError(f"{where}: {error}") from None
    with torch.inference_mode():
        features = text_features(tower, prompts.templates, [*texts, *prompts.background])
        if prompts.descriptions:
            attributes = _attributes(tower, prompts)
            features, _ = enriched_text(features, attributes, len(texts))
    state = named | {
        "texts.classes": features[: len(texts)].clone(),
        "texts.background": features[len(texts) :].clone(),
        "texts.logit_scale": named["logit_scale"],
    }
    stride = SIZES[backbone].output_strides[0]
    return state, {"backbone": backbone, "output_stride": stride, "backgrounds": len(prompts.background)}


def _size(entries: Mapping[str, Tensor], where: str) -> str:
    """The backbone whose image tower has the file's patch and width."""
    known = {(kind.full_width, kind.output_strides[0]): name for name, kind in SIZES.items()}
    patches = entries.get("visual.conv1.weight")
    found = None if patches is None else (patches.shape[0], patches.shape[-1])
    if found not in known or "logit_scale" not in entries:
        raise DataError(
            f"{where}: expected both towers of a CLIP with a ViT ({', '.join(SIZES)}), found "
            f"{'no visual.conv1.weight' if found is None else f'width {found[0]}, patches of {found[1]} pixels'}"
            f"{'' if 'logit_scale' in entries else ', no logit_scale'}. Remedy: the whole official file."
        )
    return known[found]


def _attributes(tower: ClipText, prompts: Prompts) -> Tensor:
    """Cluster centres [K,E] of the descriptions' features, k-means with a fixed start."""
    described = text_features(tower, ["{}"], [one.lower() for one in prompts.descriptions]).numpy()
    centres, _ = kmeans2(described, min(prompts.attributes, len(described)), iter=ROUNDS, minit="++", rng=0)
    return torch.from_numpy(centres)
