"""The entries of CLIP's two towers, from the names of published files to OpenAI's, which OpenCLIP shares."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

TOWERS = {"vision_model.": "visual.", "text_model.": ""}
"""Of transformers' ``CLIPModel``."""
RENAMED = (
    (r"embeddings\.class_embedding$", "class_embedding"),
    (r"embeddings\.patch_embedding\.", "conv1."),
    (r"embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"embeddings\.token_embedding\.", "token_embedding."),
    (r"pre_layrnorm\.", "ln_pre."),  # as they spell it
    (r"post_layernorm\.", "ln_post."),
    (r"final_layer_norm\.", "ln_final."),
    (r"encoder\.layers\.(\d+)\.", r"transformer.resblocks.\1."),
    (r"self_attn\.out_proj\.", "attn.out_proj."),
    (r"layer_norm([12])\.", r"ln_\1."),
    (r"mlp\.fc1\.", "mlp.c_fc."),
    (r"mlp\.fc2\.", "mlp.c_proj."),
)
TRANSPOSED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
"""Linear layers there, matrices that are applied from the right here."""
OF_NO_USE = ("position_ids", "input_resolution", "context_length", "vocab_size", "attn_mask")


def official_names(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of one or both towers under OpenAI's names: ``visual.*``, and those of the text tower without prefix.

    Queries, keys and values of transformers' ``CLIPModel`` are joined to ``in_proj``; other names stay as they are.
    """
    entries = {name: value for name, value in entries.items() if not name.endswith(OF_NO_USE)}
    if not any(name.startswith(tuple(TOWERS)) for name in entries):
        return entries
    named: dict[str, Tensor] = {}
    for name, value in entries.items():
        if name in TRANSPOSED:
            named[TRANSPOSED[name]] = value.T
        elif ".self_attn.q_proj." in name:
            parts = [entries[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            named[_renamed(name.replace("self_attn.q_proj.", "attn.in_proj_"))] = torch.cat(parts)
        elif ".self_attn.k_proj." not in name and ".self_attn.v_proj." not in name:
            named[_renamed(name)] = value
    return named


def _renamed(name: str) -> str:
    for theirs, ours in TOWERS.items():
        name = ours + name.removeprefix(theirs) if name.startswith(theirs) else name
    for pattern, new in RENAMED:
        name = re.sub(pattern, new, name)
    return name
