"""From the keys of the fixtures of ToCo and DuPL to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from oracle_case import Case, Results
from torch.nn import functional as F

from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dual_branch import (
    consistency,
    falling_threshold,
    highest_of_tags,
    likeness,
    pixel_losses,
    sure_where_unlabelled,
    without_noise,
)
from models.losses.token_contrast import class_token_contrast, patch_token_contrast, token_pairs
from models.ops.local_crops import certainty_levels, corner_places, crops_at, draw_corners, with_objects
from models.ops.online_labels import band_labels, refined_shares, two_threshold_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.view_cams import merged_cams
from models.structures import IGNORE


def _gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    gradient = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(of) if gradient is None else gradient


def _tensor(case: Case, name: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(case.inputs[name], dtype=dtype)


def _integers(case: Case, name: str) -> torch.Tensor:
    return torch.tensor(case.inputs[name])


def _inside(boxes: Any, size: Any) -> torch.Tensor:
    inside = torch.zeros((len(boxes), *size), dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(inside, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return inside


def _toco_ptc(case: Case, dtype: torch.dtype) -> Results:
    tokens, labels = case.tensor("tokens", dtype), _integers(case, "label")
    alike, different = token_pairs(labels)
    loss = patch_token_contrast(tokens, labels)
    mask = torch.full_like(alike, IGNORE, dtype=torch.int64).masked_fill(alike, 1).masked_fill(different, 0)
    return {
        "out.mask": mask,
        "out.pos": alike.sum(),
        "out.neg": different.sum(),
        "out.loss": loss,
        "grad.loss.tokens": _gradient(loss, tokens),
    }


def _toco_ctc(case: Case, dtype: torch.dtype) -> Results:
    student, teacher = case.tensor("student", dtype), case.tensor("teacher", dtype)
    loss = class_token_contrast(student, teacher, _tensor(case, "flags", dtype), case.par["temperature"])
    return {
        "out.loss": loss,
        "grad.loss.student": _gradient(loss, student),
        "grad.loss.teacher": _gradient(loss, teacher),
    }


def _toco_crops(case: Case, dtype: torch.dtype) -> Results:
    par, image = case.par, _tensor(case, "image", dtype)
    levels = certainty_levels(_tensor(case, "cam", dtype), _tensor(case, "tags", dtype), par["high"], par["low"])
    side, wanted = par["size"], torch.tensor(case.aux["corner"])
    rows, columns = corner_places((image.shape[2], image.shape[3]), side)
    draws = torch.rand(len(image), rows * columns, dtype=dtype) / 2
    order = torch.linspace(1, 0.6, par["crops"], dtype=dtype).expand(len(image), -1)
    draws.scatter_(1, wanted[..., 0] * columns + wanted[..., 1], order)
    corners = draw_corners(levels, side, par["crops"], draws)
    assert torch.equal(corners, wanted)
    return {
        "out.roi": levels,
        "out.flags": F.pad(with_objects(levels, corners, side).to(dtype), (2, 0), value=1),
        "out.crops": crops_at(image, corners, side),
    }


def _toco_labels(case: Case, dtype: torch.dtype) -> Results:
    par, image, cams = case.par, _tensor(case, "image", dtype), _tensor(case, "cam", dtype)
    tags, refine = _integers(case, "tags").bool(), PixelAdaptive("par", par["iterations"])
    everywhere = torch.ones((len(image), *image.shape[2:]), dtype=torch.bool)
    inside = _inside(case.inputs["box"], image.shape[2:])
    high, low, one = par["high"], par["low"], par["background"]
    results: Results = {
        "out.valid_cam": cams * tags[:, :, None, None],
        "out.label_cut": band_labels(cams, tags, everywhere, one, one),
        "out.label_cut_box": band_labels(cams, tags, inside, one, one),
        "out.label_mid": band_labels(cams, tags, inside, high, low),
        "out.label_refined": two_threshold_labels(cams, image, tags, inside, refine, high, low, par["down_scale"]),
    }
    small = [length // par["down_scale"] for length in image.shape[2:]]
    image, cams = (F.interpolate(maps, small, mode="bilinear", align_corners=False) for maps in (image, cams))
    for number, (picture, maps, there) in enumerate(zip(image, cams, tags, strict=True)):
        shares = refined_shares(picture, maps[there], torch.tensor(high), low, refine)[0].chunk(2)
        results |= {f"out.refined_{name}_{number}": one for name, one in zip(("high", "low"), shares, strict=True)}
    return results


def _toco_msc(case: Case, dtype: torch.dtype) -> Results:
    size = case.par["height"], case.par["width"]
    views = {name: [_tensor(case, f"{name}_{scale}", dtype) for scale in ("10", "05", "15")] for name in ("cam", "aux")}
    return {"out.cam": merged_cams(views["cam"], size), "out.cam_aux": merged_cams(views["aux"], size)}


def _toco_step(case: Case, dtype: torch.dtype) -> Results:
    par, image, tags = case.par, _tensor(case, "image", dtype), _integers(case, "tags").bool()
    names = ("cls", "cls_aux", "segs", "fmap", "student")
    leaves = {name: case.tensor(name, dtype) for name in names}
    inside = _inside(case.inputs["box"], image.shape[2:])
    cams, grid = _tensor(case, "cams", dtype), leaves["fmap"].shape[2:]
    label = two_threshold_labels(cams, image, tags, inside, PixelAdaptive("par"), par["high"], par["low"])
    small = F.interpolate(_tensor(case, "cams_aux", dtype), grid, mode="bilinear", align_corners=False)
    label_aux = band_labels(small, tags, _inside(case.inputs["box"], grid), par["high"], par["low"])
    scores = F.interpolate(leaves["segs"], image.shape[2:], mode="bilinear", align_corners=False)
    losses = {
        "cls_loss": F.multilabel_soft_margin_loss(leaves["cls"], tags.to(dtype)),
        "cls_loss_aux": F.multilabel_soft_margin_loss(leaves["cls_aux"], tags.to(dtype)),
        "ptc_loss": patch_token_contrast(leaves["fmap"], label_aux),
        "ctc_loss": class_token_contrast(
            leaves["student"], _tensor(case, "teacher", dtype), _tensor(case, "flags", dtype)
        ),
        "seg_loss": seed_cross_entropy(scores, label, balanced=True),
    }
    segmentation = par["w_seg"] * (par["iteration"] > 2000)
    loss = losses["cls_loss"] + losses["cls_loss_aux"] + par["w_ptc"] * losses["ptc_loss"]
    loss = loss + par["w_ctc"] * losses["ctc_loss"] + segmentation * losses["seg_loss"]
    return {
        "out.loss": loss,
        "out.label": label,
        "out.label_aux": label_aux,
        **{f"out.{name}": value for name, value in losses.items()},
        **{f"grad.loss.{name}": _gradient(loss, leaf) for name, leaf in leaves.items()},
    }


def _dupl_schedule(case: Case, dtype: torch.dtype) -> Results:
    par, image, tags = case.par, _tensor(case, "image", dtype), _integers(case, "tags").bool()
    start, end = (_tensor(case, name, dtype) for name in ("start", "target"))
    high = falling_threshold(start, end, par["step"], par["num_steps"])
    highest, low = highest_of_tags(high, tags), par["low"]
    refine, inside = PixelAdaptive("par", par["iterations"]), _inside(case.inputs["box"], image.shape[2:])
    small = _tensor(case, "cam_small", dtype)
    return {
        "out.high_per_class": high,
        "out.high_per_image": highest,
        "out.label_small": band_labels(small, tags, _inside(case.inputs["box_small"], small.shape[2:]), highest, low),
        "out.label_refined": two_threshold_labels(
            _tensor(case, "cam", dtype), image, tags, inside, refine, highest, low
        ),
    }


def _dupl_gmm(case: Case, dtype: torch.dtype) -> Results:
    results: Results = {}
    fits = 0
    grid = torch.linspace(0.02, 8, 400, dtype=dtype)[None]
    for branch in "12":
        logits, labels = _tensor(case, f"seg_{branch}", dtype), _integers(case, f"label_{branch}")
        losses = pixel_losses(logits, labels)
        fitted = (losses > case.par["min_loss"]) & (labels > 0) & (labels < IGNORE)
        start = torch.zeros_like(fitted)
        counts = int(fitted.sum())
        if counts > case.par["min_pixels"]:
            start[fitted] = torch.tensor(case.aux[f"fit{fits}_start"]).bool()
        filtered, mixture = without_noise(
            losses,
            labels,
            start=start,
            certainty=case.par["gamma"],
            gap=case.par["gap"],
            least=case.par["min_loss"],
            pixels=case.par["min_pixels"],
        )
        if counts > case.par["min_pixels"]:
            results |= {f"out.fit{fits}_{name}": getattr(mixture, name)[0] for name in vars(mixture)}
            results[f"out.fit{fits}_prob_on_grid"] = mixture.upper(grid)[0]
            fits += 1
        results |= {f"out.loss_{branch}": losses, f"out.label_{branch}": filtered, f"out.count_{branch}": counts}
    return results


def _dupl_losses(case: Case, dtype: torch.dtype) -> Results:
    names = [f"{name}_{branch}" for name in ("seg", "seg_aug", "fmap") for branch in "12"]
    leaves = {name: case.tensor(name, dtype) for name in names}
    labels = {branch: _integers(case, f"label_{branch}") for branch in "12"}
    other = {"1": "2", "2": "1"}
    targets = {b: sure_where_unlabelled(leaves[f"seg_{b}"], labels[other[b]], case.par["confidence"]) for b in other}
    segmentation = sum(seed_cross_entropy(leaves[f"seg_{b}"], labels[other[b]], balanced=True) for b in other)
    agreement = sum(consistency(leaves[f"seg_aug_{b}"], targets[b]) for b in other)
    alike = {b: likeness(leaves[f"fmap_{b}"], leaves[f"fmap_{other[b]}"]) for b in other}
    losses: dict[str, Any] = {"seg_loss": segmentation, "reg_loss": agreement, "sim_loss": sum(alike.values())}
    results: Results = {f"out.{name}": value for name, value in losses.items()}
    results |= {f"out.sim_{b}": alike[b] for b in other} | {f"out.target_{b}": targets[b] for b in other}
    for name, value in losses.items():
        results |= {f"grad.{name}.{leaf}": _gradient(value, tensor) for leaf, tensor in leaves.items()}
    return results


TOCO: dict[str, Callable[[Case, torch.dtype], Results]] = {
    "toco_ptc": _toco_ptc,
    "toco_ctc": _toco_ctc,
    "toco_crops": _toco_crops,
    "toco_labels": _toco_labels,
    "toco_msc": _toco_msc,
    "toco_step": _toco_step,
    "dupl_schedule": _dupl_schedule,
    "dupl_gmm": _dupl_gmm,
    "dupl_losses": _dupl_losses,
}
