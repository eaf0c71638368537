"""Adapters of the fixtures of RTC and of the online labels that it shares with AFA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from oracle_case import Case, Results
from oracle_only import class_relation
from torch.nn import functional as F

from models.losses.seam import View, classification_loss, comparable_views, equivariance_losses, tagged_min_pooling
from models.losses.transform_contrast import (
    compensate,
    compensator_loss,
    swapped_prototypes,
    transform_contrast,
    transform_view,
)
from models.ops.online_labels import two_threshold_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.pixel_correlation import correlation_seed, cross_representation, pixel_correlation
from models.rules.pseudo_masks import Constant, Rule, TwoThreshold
from models.structures import Cam

GRID = 16


def _gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    gradient = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(of) if gradient is None else gradient


def _tensor(case: Case, name: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(case.inputs[name], dtype=dtype)


def _rtc_crr(case: Case, dtype: torch.dtype) -> Results:
    deep, shallow = case.tensor("deep", dtype), case.tensor("shallow", dtype)
    logits, eps = _tensor(case, "cam", dtype), case.par["eps"]
    seed = correlation_seed(logits, eps)
    refined = cross_representation(logits, deep, shallow, eps)
    probe = (refined * _tensor(case, "probe", dtype)).sum()
    return {
        "out.seed": seed,
        "out.deep_only": pixel_correlation(seed, deep, eps),
        "out.shallow_only": pixel_correlation(seed, shallow, eps),
        "out.cam_rv_down": refined,
        "out.probe_sum": probe,
        "grad.probe_sum.deep": _gradient(probe, deep),
        "grad.probe_sum.shallow": _gradient(probe, shallow),
    }


def _rtc_step(case: Case, dtype: torch.dtype) -> Results:
    names = ("cam_logits1", "cam_rv_down1", "f1", "cam_logits2", "cam_rv_down2", "f2")
    leaves = {name: case.tensor(name, dtype) for name in names}
    injected = [torch.tensor(case.aux[f"proto_pixels{view}"]) for view in "12"]
    return _rtc_losses(case, leaves, [None, None], "stable_") | _rtc_losses(case, leaves, injected, "")


def _rtc_losses(case: Case, leaves: dict[str, torch.Tensor], cells: list[Any], prefix: str) -> Results:
    """With the prototypes' cells found by ourselves (``stable_``) or injected."""
    par, dtype = case.par, leaves["f1"].dtype
    tags = _tensor(case, "label", dtype)
    size = {"1": (par["image_height"], par["image_width"]), "2": (par["view2"],) * 2}
    views = {v: View.of(leaves[f"cam_logits{v}"], leaves[f"cam_rv_down{v}"], tags, size[v]) for v in "12"}
    one, two = comparable_views(views["1"], views["2"], tags)
    equivariance = equivariance_losses(one, two, par["ohem"])
    pooled = [tagged_min_pooling(views[v], tags) for v in "12"]
    grids = [
        transform_view(leaves[f"f{v}"], leaves[f"cam_rv_down{v}"], tags, par["bg_threshold"], cells=chosen)
        for v, chosen in zip("12", cells, strict=True)
    ]
    against = swapped_prototypes(grids[0], grids[1]), swapped_prototypes(grids[1], grids[0])
    contrast, weight = transform_contrast(grids[0], grids[1], against, par["tau"]), par["weight"]
    present = tags.any(0).nonzero()[:, 0] + 1
    raised = [compensate(grids[0], grids[1], present), compensate(grids[1], grids[0], present)]
    losses = {
        "loss_cls": sum(classification_loss(views[v], tags) for v in "12") / 2 + sum(pooled) / 2,
        "loss_rvmin1": pooled[0],
        "loss_rvmin2": pooled[1],
        "loss_er": equivariance.plain,
        "loss_ecr": equivariance.cross,
        "loss_intra_nce": weight * contrast.intra,
        "loss_cross_nce1": weight * contrast.cross_label,
        "loss_cross_nce2": weight * contrast.cross_prototype,
        "loss_struct1": compensator_loss(raised[0], present, one.cam, tags, par["com_top"]),
        "loss_struct2": compensator_loss(raised[1], present, two.cam, tags, par["com_top"]),
    }
    losses["loss_struct"] = losses["loss_struct1"] + losses["loss_struct2"]
    losses["loss_nce"] = losses["loss_intra_nce"] + losses["loss_cross_nce1"] + losses["loss_cross_nce2"]
    losses["loss"] = sum(losses[f"loss_{name}"] for name in ("cls", "er", "ecr", "nce", "struct"))
    results: Results = {f"out.{prefix}{name}": value for name, value in losses.items()}
    for name, value in losses.items():
        results |= {f"grad.{prefix}{name}.{leaf}": _gradient(value, tensor) for leaf, tensor in leaves.items()}
    results[f"out.{prefix}class_relation"] = class_relation(against, F.pad(tags.any(0), (1, 0), value=True))
    for v, grid, made, scores in zip("12", grids, against, raised, strict=True):
        shape = (-1, len(tags), GRID, GRID)
        results |= {
            f"out.{prefix}prototypes{v}": made,
            f"out.ctr_map{v}": grid.scores.view(shape).transpose(0, 1),
            f"out.pseudo_label{v}": grid.labels.view(shape[1:]),
            f"out.compensated{v}_present": scores.view(shape).transpose(0, 1),
        }
    return results | {"out.present_classes": present}


def _inside(case: Case, shape: Any) -> torch.Tensor:
    inside = torch.zeros(shape, dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(inside, case.inputs["box"], strict=True):
        mask[top:bottom, left:right] = True
    return inside


def _seg_label(kind: Any) -> Callable[[Case, torch.dtype], Results]:
    def adapter(case: Case, dtype: torch.dtype) -> Results:
        image = _tensor(case, "image", dtype) * case.par["image_scale"]
        inside = _inside(case, (len(image), *image.shape[2:]))
        labels = two_threshold_labels(
            _tensor(case, "cam_quarter", dtype),
            image,
            _tensor(case, "label", dtype),
            inside,
            PixelAdaptive(kind),
            case.par["high"],
            case.par["low"],
            case.par["down_scale"],
        )
        return {"out.label": labels}

    return adapter


def cam_labels(case: Case, dtype: torch.dtype) -> Results:
    """AFA's labels of plain CAMs, outputs of the fixture ``afa_losses``."""
    cams, tags, size = _tensor(case, "cams", dtype), _tensor(case, "tags", dtype), case.inputs["label_big"].shape[1:]
    band = _by_rule(TwoThreshold(case.par["high"], case.par["low"]), cams, tags, size)
    return {
        "out.cam_to_label": _by_rule(Constant(case.par["bkg"]), cams, tags, size),
        "out.cam_to_label_mid": band.where(_inside(case, band.shape), case.par["ignore"]),
    }


def _by_rule(rule: Rule, cams: torch.Tensor, tags: torch.Tensor, size: Any) -> torch.Tensor:
    """What a rule of make_pseudo_masks says of CAMs [N,C,h,w] enlarged to (H, W): int64 [N,H,W]."""
    classes, size = np.arange(1, 1 + cams.shape[1]), tuple(size)
    enlarged = F.interpolate(cams, size, mode="bilinear", align_corners=False).numpy()
    pairs = zip(enlarged, tags.bool().numpy(), strict=True)
    labels = [rule(Cam(classes, maps, size), None, there) for maps, there in pairs]
    return torch.from_numpy(np.stack(labels)).long()


SINGLE_STAGE: dict[str, Callable[[Case, torch.dtype], Any]] = {
    "rtc_crr": _rtc_crr,
    "rtc_step": _rtc_step,
    "rtc_seg_label": _seg_label("varm"),
    "afa_seg_label": _seg_label("par"),
}
