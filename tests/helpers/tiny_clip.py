"""A CLIP of both towers that is small enough for tests, as transformers has it and under other names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.backbones.clip import ClipVitB16
from models.backbones.clip_names import official_names

WIDTH, DEPTH, EMBEDDED, SIDE = 64, 4, 16, 4
WORDS = 49408


class TinyClip(ClipVitB16):
    """One head, four blocks, a table of positions for images of 64 pixels."""

    full_width = WIDTH
    depth = DEPTH
    embedded = EMBEDDED
    side = SIDE


def network() -> Any:
    """transformers' model of these sizes, with random weights."""
    from transformers import CLIPConfig, CLIPModel

    shared = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 1}
    shared |= {"num_hidden_layers": DEPTH, "projection_dim": EMBEDDED, "hidden_act": "quick_gelu"}
    text = shared | {"vocab_size": WORDS, "max_position_embeddings": 77, "eos_token_id": WORDS - 1}
    vision = shared | {"image_size": 16 * SIDE, "patch_size": 16}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=EMBEDDED)
    return CLIPModel(config).eval()


def entries() -> dict[str, Tensor]:
    """Its entries under the official names."""
    return official_names(network().state_dict())
