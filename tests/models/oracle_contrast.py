"""Adapters of the fixtures of HFPL, ICAM, SEAM and PPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from oracle_case import Case, Results
from oracle_only import label_conditioned
from torch.nn import functional as F

from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from models.losses.feature_similarity import cam_scores, feature_similarity
from models.losses.importance_sampling import (
    importance_sampling_loss,
    multinomial_sampling_loss,
    probability_logit,
    sampling_weights,
)
from models.losses.prototype_contrast import (
    Draws,
    contrast_view,
    normalised_scores,
    prototype_contrast,
)
from models.losses.seam import (
    View,
    classification_loss,
    comparable_views,
    equivariance_losses,
    min_pooling_loss,
    tagged_min_pooling,
)
from models.ops.pixel_correlation import correlation_seed, pixel_correlation, winner_only


def _gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    gradient = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(of) if gradient is None else gradient


def _tensor(case: Case, name: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(case.inputs[name], dtype=dtype)


def _hfpl_isl(case: Case, dtype: torch.dtype) -> Results:
    logits, indices = case.tensor("logits", dtype), torch.tensor(case.aux["indices"])
    foreground = logits[:, 1:]
    loss = importance_sampling_loss(foreground, _tensor(case, "label", dtype), indices)
    return {
        "out.weights": sampling_weights(foreground),
        "out.samples": foreground.flatten(2).gather(2, indices),
        "out.loss": loss,
        "grad.loss.logits": _gradient(loss, logits),
    }


def _similarity(factor: float) -> Callable[[Case, torch.dtype], Results]:
    def adapter(case: Case, dtype: torch.dtype) -> Results:
        scores = case.tensor("y", dtype)
        sigma = max(case.par["sigma"], 0)
        loss = factor * feature_similarity(_tensor(case, "x", dtype), scores, case.par["mu"], sigma, reach=0)
        return {"out.loss": loss, "grad.loss.y": _gradient(loss, scores)}

    return adapter


def _icam_isl(case: Case, dtype: torch.dtype) -> Results:
    eps, tags = case.par["logit_eps"], _tensor(case, "label", dtype)
    results: Results = {}
    for view in ("1", "2"):
        logits, indices = case.tensor(f"logits{view}", dtype), torch.tensor(case.aux[f"indices{view}"])
        probabilities = logits.softmax(1)
        drawn = probability_logit(probabilities.flatten(2).gather(2, indices), eps)
        loss = multinomial_sampling_loss(probabilities[:, 1:], tags, indices[:, 1:], eps)
        results |= {
            f"out.probs{view}": probabilities,
            f"out.sample_logits{view}": drawn,
            f"out.loss{view}": loss,
            f"grad.loss{view}.logits{view}": _gradient(loss, logits),
            f"out.label_cond{view}": label_conditioned(probabilities, tags),
        }
        peak = probability_logit(probabilities.amax((2, 3), keepdim=True), eps)
        results |= {
            f"out.maxpool_logits{view}": peak,
            f"grad.maxpool_logits{view}.logits{view}": _gradient(peak.sum(), logits),
        }
    return results | {"out.logit_of_linspace01_41": probability_logit(torch.linspace(0, 1, 41, dtype=dtype), eps)}


def _seam_pcm(case: Case, dtype: torch.dtype) -> Results:
    cam, features = case.tensor("cam", dtype), case.tensor("f", dtype)
    refined = pixel_correlation(cam, features, case.par["eps"])
    probe = (refined * _tensor(case, "probe", dtype)).sum()
    return {
        "out.cam_rv": refined,
        "out.probe_sum": probe,
        "grad.cam_rv.cam": _gradient(refined.sum(), cam),
        "grad.probe_sum.cam": _gradient(probe, cam),
        "grad.probe_sum.f": _gradient(probe, features),
    }


def _seam_pieces(case: Case, dtype: torch.dtype) -> Results:
    x = case.tensor("x", dtype)
    pooled, kept = min_pooling_loss(x, case.par["min_fraction"]), winner_only(x)
    return {
        "out.minpool": pooled,
        "out.onehot": kept,
        "out.seed": correlation_seed(_tensor(case, "logits", dtype), case.par["eps"]),
        "grad.minpool.x": _gradient(pooled, x),
        "grad.onehot.x": _gradient(kept.sum(), x),
    }


def _step(case: Case, dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """SEAM's losses of a step, and the leaves that they came from."""
    leaves = {name: case.tensor(name, dtype) for name in ("cam1", "cam_rv1", "cam2", "cam_rv2")}
    tags = _tensor(case, "label", dtype)
    first, second = (View.of(leaves[f"cam{v}"], leaves[f"cam_rv{v}"], tags, leaves[f"cam{v}"].shape[2:]) for v in "12")
    equivariance = equivariance_losses(*comparable_views(first, second, tags), case.par["ohem"])
    losses = {
        "loss_cls1": classification_loss(first, tags),
        "loss_cls2": classification_loss(second, tags),
        "loss_rvmin1": tagged_min_pooling(first, tags),
        "loss_rvmin2": tagged_min_pooling(second, tags),
        "loss_er": equivariance.plain,
        "loss_ecr1": equivariance.cross_first,
        "loss_ecr2": equivariance.cross_second,
        "loss_ecr": equivariance.cross,
    }
    return losses, leaves


def _seam_step(case: Case, dtype: torch.dtype) -> Results:
    losses, leaves = _step(case, dtype)
    losses["loss_cls"] = (losses["loss_cls1"] + losses["loss_cls2"] + losses["loss_rvmin1"] + losses["loss_rvmin2"]) / 2
    losses["loss"] = losses["loss_cls"] + losses["loss_er"] + losses["loss_ecr"]
    return _with_gradients(losses, leaves)


def _with_gradients(losses: dict[str, torch.Tensor], leaves: dict[str, torch.Tensor]) -> Results:
    results: Results = {f"out.{name}": value for name, value in losses.items()}
    for name, value in losses.items():
        if value.requires_grad:
            results |= {f"grad.{name}.{leaf}": _gradient(value, tensor) for leaf, tensor in leaves.items()}
    return results


def _hfpl_step(case: Case, dtype: torch.dtype) -> Results:
    losses, leaves = _step(case, dtype)
    leaves["logits1"] = case.tensor("logits1", dtype)
    tags, weight = _tensor(case, "label", dtype), case.par["loss_weight"]
    drawn = importance_sampling_loss(leaves["logits1"][:, 1:], tags, torch.tensor(case.aux["indices"]))
    mean, deviation = (torch.tensor(v, dtype=dtype).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    picture = _tensor(case, "img1", dtype)
    size = leaves["logits1"].shape[2:]
    small = F.interpolate(picture, size, mode="bilinear", align_corners=True) * deviation + mean
    scores = cam_scores(leaves["logits1"][:, 1:], tags)
    losses["loss_fs1"] = feature_similarity(small, scores, case.par["mu"], case.par["sigma"], reach=0)
    losses["loss_cls_is1"] = drawn
    losses["loss_cls1_mixed"] = (1 - weight) * losses["loss_cls1"] + weight * drawn
    losses["loss_cls"] = (
        losses["loss_cls1_mixed"] + losses["loss_cls2"] + losses["loss_rvmin1"] + losses["loss_rvmin2"]
    ) / 2
    losses["loss"] = losses["loss_cls"] + losses["loss_er"] + losses["loss_ecr"] + losses["loss_fs1"]
    second = [int(case.par["scale"] * length) for length in picture.shape[2:]]
    return _with_gradients(losses, leaves) | {"out.fsl_scores": scores, "out.img2_size": np.array(second)}


def _ppc_contrast(case: Case, dtype: torch.dtype) -> Results:
    leaves = {name: case.tensor(name, dtype) for name in ("f_proj1", "f_proj2")}
    refined = [_tensor(case, f"cam_rv{view}_down", dtype) for view in "12"]
    results = _contrast(case, leaves, refined, "stable_", [None, None])
    picked = [torch.tensor(case.aux[f"proto_pixels{view}"]) for view in "12"]
    results |= _contrast(case, leaves, refined, "", picked)
    for number, maps in enumerate(refined, 1):
        small = F.interpolate(maps, (16, 16), mode="bilinear", align_corners=True)
        results[f"out.norm_cam{number}"] = normalised_scores(small, case.par["bg_threshold"])
    return results


def _contrast(case: Case, leaves: Any, refined: Any, prefix: str, pixels: list[Any]) -> Results:
    """All outputs with the prototypes' pixels found by ourselves (``stable_``) or injected."""
    tags, weight = _tensor(case, "label", refined[0].dtype), case.par["weight"]
    views = [
        contrast_view(features, maps, tags, case.par["bg_threshold"], chosen)
        for features, maps, chosen in zip(leaves.values(), refined, pixels, strict=True)
    ]
    contrast = prototype_contrast(views[0], views[1], (_draws(case, "1"), _draws(case, "2")))
    losses = {
        "loss_cross_nce": weight * contrast.cross_prototype,
        "loss_cross_nce2": weight * contrast.cross_label,
        "loss_intra_nce": (weight * contrast.intra).view(1),
    }
    losses["loss_nce"] = sum(losses.values())  # type: ignore[assignment]
    results: Results = {f"out.{prefix}{name}": value for name, value in losses.items()}
    for name, value in losses.items():
        results |= {f"grad.{prefix}{name}.{leaf}": _gradient(value.sum(), x) for leaf, x in leaves.items()}
    for number, view in enumerate(views, 1):
        results[f"out.{prefix}prototypes{number}"] = view.prototypes
        results[f"out.pseudo_label{number}"] = view.labels.view(-1, 16, 16)
    return results


def _draws(case: Case, view: str) -> Draws:
    classes, positions = case.aux[f"intra_draw{view}_class"], case.aux[f"intra_draw{view}_index"]
    return Draws({int(c): torch.tensor(positions[classes == c]) for c in np.unique(classes)})


CONTRAST: dict[str, Callable[[Case, torch.dtype], Any]] = {
    "hfpl_isl": _hfpl_isl,
    "hfpl_fsl": _similarity(1),
    "icam_fsl": _similarity(2),
    "icam_isl": _icam_isl,
    "hfpl_step": _hfpl_step,
    "seam_pcm": _seam_pcm,
    "seam_pieces": _seam_pieces,
    "seam_step": _seam_step,
    "ppc_contrast": _ppc_contrast,
}
