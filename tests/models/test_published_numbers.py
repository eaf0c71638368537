"""Numbers of the publications, written out: defaults of the CAM pages, and presets by method.

They are those of docs/methods.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from models.doors import resolve
from models.losses import (
    importance_sampling,
    multiscale_attention,
    prototype_contrast,
    regional_contrast,
    transform_contrast,
)
from models.losses.class_score import focal_penalty
from models.losses.feature_similarity import feature_similarity
from models.losses.seam import equivariance_losses, min_pooling_loss
from models.methods import ADD_ONS, METHODS
from models.ops.cut_offs import cut_off_labels
from models.ops.online_labels import two_threshold_labels
from models.refiners.dense_crf import PRESETS as CRFS
from models.refiners.dense_crf import DenseCrf
from models.refiners.random_walk import PRESETS as WALKS
from models.refiners.random_walk import RandomWalk
from models.rules.ir_label import BACKGROUNDS, IrLabel
from models.rules.pseudo_masks import CONSTANTS, POWERS, Constant, Power

PAGES: dict[str, dict[str, Any]] = {
    "seam": {"second_scale": 0.3, "second_size": 0, "hardest": 0.2, "correlation_width": 64},
    "rcm_mam": {
        "region_threshold": 0.3,
        "temperature": 2.0,
        "momentum": 0.996,
        "rcm": 1.0,
        "mam": 1.0,
        "feature_width": 256,
        "head_lr": 1,
        "support_scales": (0.5, 1.0, 1.5, 2.0),
        "main_scales": (0.5, 1.0, 2.0),
        "region_scales": "multi",
        "mam_target": "attentive",
        "mam_half": True,
        "empty": "ignore",
        "queue": 0,
    },
    "rtc": {
        "feature_width": 256,
        "affinity_width": 64,
        "second_size": 128,
        "hardest": 0.2,
        "representation": "cross",
        "contrast": 0.1,
        "tau": 0.1,
        "background": 0.2,
        "negatives": "all",
        "compensator": 1.0,
        "transform_start": 0.0,
        "votes_temperature": 1.0,
        "compensated": 0.8,
        "segmentation": 1.0,
        "segmentation_start": 7.0,
        "head": "rtc",
        "head_width": 256,
        "high": 0.55,
        "low": 0.2,
        "refiner": "varm",
    },
    "one_stage": {
        "psi": 0.3,
        "focal_power": 3.0,
        "focal_floor": 0.01,
        "pamr_iterations": 10,
        "pamr_dilations": (1, 2, 4, 8, 12, 24),
        "cutoff": 0.6,
        "background_cutoff": 0.7,
        "least": 0.2,
        "mask": 1.0,
        "pretrain": 5.0,
        "head_width": 256,
        "dropout": 0.5,
    },
    "toco": {
        "head_width": 512,
        "early": 3,
        "cam_scales": (1.0, 0.5, 1.5),
        "high": 0.7,
        "low": 0.25,
        "patch_contrast": 0.2,
        "class_contrast": 0.5,
        "crops": 8,
        "crop_side": 96,
        "temperature": 0.5,
        "momentum": 0.9,
        "segmentation": 0.1,
        "energy": 0.025,  # of the exact sum: 0.05 of the released filter's, which is half of it
    },
    "dupl": {
        "high": 0.7,
        "high_end": 0.55,
        "low": 0.25,
        "patch_contrast": 0.2,
        "difference": 0.1,
        "segmentation": 0.2,
        "agreement": 0.05,
        "confidence": 0.9,
        "changed_scale": 0.75,
        "noise_certainty": 0.95,
    },
    "weclip": {
        "head_width": 256,
        "decoder_blocks": 3,
        "heads": 8,
        "dropout": 0.1,
        "pairs": "product",
        "threshold": 0.4,
        "last": 6,
        "plain_last": 8,
        "radius": 8,
        "affinity": 0.1,
    },
    "weclip_plus": {"affinity_start": 0.0, "mutual": 0.1, "dice": 1.0, "sure": 0.75},
    "spml": {
        "head": "aspp_v2",
        "embedding": 64,
        "dropout": 0.75,
        "preset": "tags",
        "clusters": 6,
        "iterations": 10,
        "anchors": 0,
        "memory": 2,
        "inference_clusters": 12,
        "neighbours": 20,
    },
}
STACKED: dict[str, dict[str, Any]] = {
    "hfpl": {
        "reading": "binomial",
        "sampling": 0.2,
        "draws": 10,
        "similarity": 1.0,
        "mu": 2.5,
        "sigma": 5.0,
        "sigma_of": "cells",
        "reach": 4.0,
    },
    "ppc": {
        "width": 128,
        "weight": 0.1,
        "tau": 0.1,
        "background": 0.2,
        "cells": 32,
        "negatives": "all",
        "semi_hard": "ranks",
        "second_scale": 0.3,
    },
}
FUNCTIONS: dict[Any, dict[str, Any]] = {
    feature_similarity: {"mu": 2.5, "sigma": 5.0, "reach": 4.0},
    importance_sampling.probability_logit: {"eps": 1e-3},
    importance_sampling.multinomial_sampling_loss: {"eps": 1e-3},
    equivariance_losses: {"hardest": 0.2, "counted": 0},
    min_pooling_loss: {"share": 0.25},
    prototype_contrast.contrast_view: {"background": 0.2},
    prototype_contrast.top_pixels: {"top": 32},
    prototype_contrast.prototype_contrast: {"tau": 0.1},
    prototype_contrast.intra_view_loss: {"tau": 0.1},
    transform_contrast.transform_view: {"background": 0.2},
    transform_contrast.transform_contrast: {"tau": 0.1},
    transform_contrast.compensate: {"temperature": 1.0},
    transform_contrast.compensator_loss: {"share": 0.8, "counted": 0},
    two_threshold_labels: {"high": 0.55, "low": 0.2, "shrink": 2},
    regional_contrast.region_mask: {"threshold": 0.3},
    regional_contrast.regional_contrast: {"temperature": 2.0, "negatives": "all"},
    multiscale_attention.multiscale_attention: {"target": "attentive", "counted": 0},
    focal_penalty: {"power": 3.0, "floor": 0.01},
    cut_off_labels: {"foreground": 0.6, "background": 0.7, "lowest": 0.2},
}

WALK: dict[str, tuple[float, int, float, float, bool, bool]] = {
    # beta, log_t, alpha, cam_power, pooled, scaled
    "psa": (8, 8, 16, 1, True, True),
    "seam": (8, 6, 6, 1, True, True),
    "hfpl": (8, 6, 6, 1, True, True),
    "ppc": (8, 6, 0, 1, True, False),
    "irn": (10, 8, 0, 1, False, True),
    "recam": (10, 8, 0, 1, False, True),
    "advcam": (10, 8, 0, 1.5, False, True),
    "sipe": (10, 8, 0, 1.5, False, True),
    "rib": (10, 8, 0, 1.3, False, True),
    "amn": (10, 8, 0, 1.3, False, True),
    "spml": (20, 6, 6, 1, False, True),
    "spml_softmax": (20, 6, 0, 1, False, True),
    "clip_es": (1, 1, 0, 1, False, True),
    "clip_es_coco": (1, 1, 0, 1, False, True),
    "excel": (1, 1, 0, 1, False, True),
    "excel_coco": (1, 1, 0, 1, False, True),
}
CONSTANT = {"irn": 0.25, "advcam": 0.25, "rib": 0.27, "rib_coco": 0.22, "recam": 0.28, "amn": 0.25, "ppc": 0.27}
POWER = {"psa": 16, "seam": 6, "hfpl": 6, "spml": 6}
BAND = {
    "irn": (0.30, 0.05),
    "advcam": (0.35, 0.15),
    "rib": (0.35, 0.17),
    "recam": (0.35, 0.10),
    "amn": (0.45, 0.15),
    "amn_seed": (0.30, 0.05),
}
CRF: dict[str, tuple[int, int, int, int, int, int, str]] = {
    # Gaussian sxy and compat, bilateral sxy, srgb and compat, iterations, unary
    "psa": (3, 3, 80, 13, 10, 10, "scores"),
    "irn": (3, 3, 50, 5, 10, 10, "labels"),
    "ppc_png": (3, 3, 50, 5, 10, 10, "labels"),
    "ppc_aff": (3, 3, 80, 13, 10, 10, "labels"),
    "spml": (1, 3, 67, 3, 4, 10, "softmax"),
    "clip_es": (1, 3, 67, 3, 4, 10, "scores"),
    "weclip": (3, 3, 64, 5, 4, 10, "softmax"),
    "seg_test": (3, 3, 32, 13, 10, 1, "softmax"),
}


def defaults(function: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


@pytest.mark.parametrize(
    ("door", "name", "numbers"),
    [(METHODS, *page) for page in PAGES.items()] + [(ADD_ONS, *add_on) for add_on in STACKED.items()],
)
def test_defaults_of_pages(door: Any, name: str, numbers: dict[str, Any]) -> None:
    found = resolve(door, name, "page").defaults()
    assert {key: found[key] for key in numbers} == numbers


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_defaults_of_losses(function: Any) -> None:
    found = defaults(function)
    assert {key: found[key] for key in FUNCTIONS[function]} == FUNCTIONS[function]


def test_constants_of_losses() -> None:
    assert (importance_sampling.WEIGHT_EPS, importance_sampling.LOGIT_EPS) == (1e-5, 1e-3)
    assert (prototype_contrast.GRID, prototype_contrast.TOP, prototype_contrast.SEMI_HARD) == (16, 32, (3, 13))
    assert (prototype_contrast.HARDEST, prototype_contrast.EASIEST) == (0.5, 0.6)


def test_every_preset_is_written_out_here() -> None:
    for presets, written in ((WALKS, WALK), (CONSTANTS, CONSTANT), (POWERS, POWER), (BACKGROUNDS, BAND), (CRFS, CRF)):
        assert presets.keys() == written.keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize("preset", WALK)
def test_walks(preset: str) -> None:
    walk = RandomWalk(preset).settings
    assert (walk.beta, walk.log_t, walk.alpha, walk.cam_power, walk.pooled, walk.scaled) == WALK[preset]


def test_walks_of_clip_es_start_in_boxes() -> None:
    boxes = {preset: settings.boxes for preset, settings in WALKS.items() if settings.boxes}
    assert boxes == {"clip_es": 0.4, "clip_es_coco": 0.7, "excel": 0.79, "excel_coco": 0.88}
    assert all(settings.stretched == (preset in boxes) for preset, settings in WALKS.items())


@pytest.mark.parametrize("preset", CONSTANT)
def test_constant_backgrounds(preset: str) -> None:
    assert Constant(preset=preset).threshold == CONSTANT[preset]


@pytest.mark.parametrize("preset", POWER)
def test_powers_of_backgrounds(preset: str) -> None:
    assert Power(preset=preset).alpha == POWER[preset]


@pytest.mark.parametrize("preset", BAND)
def test_bands_of_ir_labels(preset: str) -> None:
    rule = IrLabel(preset=preset)
    assert (rule.high, rule.low, rule.certainty) == (*BAND[preset], 0.7)
    assert rule.settings == CRFS["irn"]


@pytest.mark.parametrize("preset", CRF)
def test_dense_crfs(preset: str) -> None:
    crf = CRFS[preset]
    gaussian, bilateral = (crf.gaussian_sxy, crf.gaussian_compat), (crf.bilateral_sxy, crf.bilateral_srgb)
    assert (*gaussian, *bilateral, crf.bilateral_compat, crf.iterations, crf.unary) == CRF[preset]


def test_defaults_of_rules_and_refiners() -> None:
    for part, preset in ((RandomWalk, "psa"), (Constant, "irn"), (Power, "seam"), (IrLabel, "irn"), (DenseCrf, "psa")):
        assert defaults(part)["preset"] == preset
