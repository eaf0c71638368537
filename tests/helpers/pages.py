"""Every method page, built small, with options under which each of its parts counts from the first step on."""

from __future__ import annotations

import torch

from models.doors import resolve
from models.heads import HEADS
from models.method import Method
from models.methods import METHODS

CLASSES = 3
SMALL = {"backbone": "resnet18", "width": 0.25}
CLIP = {"backbone": "clip_vit_b16", "width": 1 / 12, "backgrounds": 2, "head_width": 16}
TRANSFORMER = {"backbone": "timm/test_vit", "width": 1.0}
NEEDED = {
    "afa": {"backbone": "mit_b0"},
    "clip_es": {"backbone": "clip_vit_b16", "backgrounds": 4},
    "dupl": TRANSFORMER,
    "excel": CLIP,
    "toco": TRANSFORMER,
    "weclip": CLIP,
    "weclip_plus": CLIP | {"second": "resnet18"},
}
"""Backbones of methods that cannot do with that of SMALL."""
AT_ONCE = {
    "afa": {"pretrain": 0.0, "cam_scales": [1.0], "high": 0.3, "low": 0.3},
    "dupl": {"pretrain": 0.0, "noise_start": 0.0, "cam_scales": [1.0], "high": 0.3, "high_end": 0.3, "low": 0.3},
    "excel": {"affinity_start": 0.0},
    "rtc": {"segmentation_start": 0.0, "second_size": 32, "high": 0.3, "low": 0.3},
    "weclip": {"affinity_start": 0.0},
    "weclip_plus": {"own_labels": 0.0, "sure": 0.3},
    "toco": {"pretrain": 0.0, "cam_scales": [1.0], "high": 0.3, "low": 0.3},
}
"""Options with which every part of a method counts from the first step on, at the size of these tests."""
TRAINED = [name for name in METHODS if resolve(METHODS, name, "method").trains]
"""Methods without those whose checkpoint comes from ``import_weights`` alone."""
VARIANTS: list[tuple[str, dict[str, object]]] = [(name, AT_ONCE.get(name, {})) for name in TRAINED]
VARIANTS += [("classifier", {"pooling": kind}) for kind in ("gmp", "lse")]
VARIANTS += [("segmenter", {"head": head, "head_width": 16}) for head in HEADS]
VARIANTS += [("segmenter", {"also_scales": [0.5]}), ("boundary_net", {"canvas": 96})]
VARIANTS += [("boundary_net", {"learn_displacements": False}), ("segmenter", {"frozen": True})]
VARIANTS += [("spml", {"preset": "parts", "memory": 0}), ("spml", {"frozen": True})]
VARIANTS += [("afa", {**AT_ONCE["afa"], "energy": 0.025}), ("toco", {**AT_ONCE["toco"], "class_contrast": 0.0})]
VARIANTS += [("segmenter", {"balanced": True, "label_smoothing": 0.1, "align_corners": True})]


def build(name: str, seed: int = 0, **options: object) -> Method:
    torch.manual_seed(seed)
    page = resolve(METHODS, name, "method")
    known = page.defaults()
    given = {**SMALL, **NEEDED.get(name, {}), **options}
    method: Method = page(CLASSES, **{key: value for key, value in given.items() if key in known})
    return method
