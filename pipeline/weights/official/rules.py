"""What is known of a published network, and what entries of files are called here, where several networks share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Rules = tuple[tuple[str, str], ...]
"""(pattern, replacement) of entry names; the first pattern that matches counts."""


@dataclass(frozen=True)
class Official:
    """A published network.

    Attributes:
        source: repository@commit:paths.
        method: its page here. options: the page's. add_ons: around the page, with their options.
        rules: (pattern, replacement) of entry names; the first pattern that matches counts. Two replacements, joined
            by " | ", share the entry's rows half and half.
        ignored: patterns of entries that the file may hold and nothing here needs.
        classes: entry, after renaming, whose first axis counts the classes; "" where the network tells none.
        background: whether that axis counts the background too.
        parts: names of the state dicts in the file, where it holds several.
        prompted: its classes are texts, made of prompts when the file is read (:mod:`pipeline.weights.prompts`).
        normalisation: what its input is scaled by, where that is not what the backbone's published weights expect.
        checkpoints: what the repository calls its files.
    """

    source: str
    method: str
    rules: Rules
    options: Mapping[str, Any] = field(default_factory=dict)
    add_ons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    classes: str = ""
    background: bool = True
    parts: tuple[str, ...] = ()
    prompted: bool = False
    normalisation: Literal["imagenet"] | None = None
    checkpoints: str = ""


RESNET38D: Rules = ((r"^(?:backbone\.)?((?:conv1a|b[2-7](?:_\d)?|bn7)\..*)$", r"backbone.\1"),)
AFFINITY_KERNELS = (r"^_aff\.",)
SEAM: Rules = (
    *RESNET38D,
    (r"^fc8\.", "head.classifier."),
    (r"^f8_3\.", "correlation.levels.0."),
    (r"^f8_4\.", "correlation.levels.1."),
    (r"^f9\.", "correlation.mix."),
)
AFFINITY: Rules = (
    *RESNET38D,
    (r"^f8_3\.", "head.levels.0."),
    (r"^f8_4\.", "head.levels.1."),
    (r"^f8_5\.", "head.levels.2."),
    (r"^f9\.", "head.mix."),
)
IRN_RESNET: Rules = ((r"^resnet50\.(.*)$", r"backbone.\1"),)
IRN_ALIASES = (r"^stage\d\.", r"^backbone\.\d\.", r"^newly_added\.", r"^edge_layers\.", r"^dp_layers\.")
IRN_LEVELS = {1: "stem", 2: "layer1", 3: "layer2", 4: "layer3", 5: "layer4"}


def irn_heads() -> Rules:
    """The two heads of IRN's network, by the level whose features each layer takes."""
    rules = []
    for kind, head in (("edge", "boundary"), ("dp", "displacement")):
        for number, level in IRN_LEVELS.items():
            rules.append((rf"^fc_{kind}{number}\.0\.", f"{head}.taps.{level}.convolution."))
            rules.append((rf"^fc_{kind}{number}\.1\.", f"{head}.taps.{level}.norm."))
    return tuple(rules)


def mit_encoder() -> Rules:
    """SegFormer's encoder as its authors name it, under the names of transformers."""
    rules: list[tuple[str, str]] = []
    for number in range(1, 5):
        prefix = f"backbone.encoder.{number - 1}."
        block = rf"^encoder\.block{number}\.(\d+)\."
        rules += [
            (rf"^encoder\.patch_embed{number}\.proj\.", f"{prefix}patch_embeddings.proj."),
            (rf"^encoder\.patch_embed{number}\.norm\.", f"{prefix}patch_embeddings.layer_norm."),
            (rf"^encoder\.norm{number}\.", f"{prefix}layer_norm."),
        ]
        rules += [
            (block + theirs, f"{prefix}blocks.\\1.{ours}")
            for theirs, ours in (
                (r"norm1\.", "layernorm_before."),
                (r"norm2\.", "layernorm_after."),
                (r"attn\.q\.", "attention.q_proj."),
                (r"attn\.proj\.", "attention.o_proj."),
                (r"attn\.sr\.", "attention.sequence_reduction.sequence_reduction."),
                (r"attn\.norm\.", "attention.sequence_reduction.layer_norm."),
                (r"mlp\.", "mlp."),
            )
        ]
        halves = " | ".join(f"{prefix}blocks.\\1.attention.{half}_proj.\\2" for half in "kv")
        rules.append((block + r"attn\.kv\.(.*)$", halves))
    return tuple(rules)


def projector(theirs: str, ours: str) -> Rules:
    """DINO's head of class tokens, whose last layer has lengths and directions."""
    return (
        (rf"^{theirs}\.mlp\.", f"{ours}.hidden."),
        (rf"^{theirs}\.last_layer\.weight_g$", f"{ours}.last.parametrizations.weight.original0"),
        (rf"^{theirs}\.last_layer\.weight_v$", f"{ours}.last.parametrizations.weight.original1"),
    )
