"""From the keys of the fixtures of WeCLIP and ExCEL to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results
from torch.nn import functional as F

from models.losses.affinity import dense_affinity_loss
from models.losses.cross_entropy import seed_cross_entropy
from models.ops.affinity import centred_affinity, dense_pair_labels, within
from models.ops.attention_choice import chosen_attention
from models.ops.attention_spread import spread_in_boxes, walked_in_boxes
from models.ops.online_labels import complete_labels, with_complement
from models.ops.patch_text import enriched_text, surgery_maps
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.random_walk import BalancedLinks
from models.structures import BACKGROUND, IGNORE


def _tensor(case: Case, name: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(case.inputs[name], dtype=dtype)


def _gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(value, of, retain_graph=True)[0]


def _weight(case: Case, attention: torch.Tensor, affinity: torch.Tensor) -> tuple[torch.Tensor, Results]:
    """The affinity that maps spread over, and what only the choice by a learned one has."""
    last = attention[-case.par["last"] :]
    if not case.par["use_affinity"]:
        return last.mean(0), {}
    chosen = chosen_attention(last, affinity)
    return chosen.weight, {"out.difference": chosen.difference, "out.kept": chosen.kept.long()}


def _weclip_cam(case: Case, dtype: torch.dtype) -> Results:
    cam, size = _tensor(case, "cam", dtype), (case.par["height"], case.par["width"])
    attention, affinity = _tensor(case, "attention", dtype)[:, 1:, 1:], _tensor(case, "seg_affinity", dtype)[0]
    weight, choice = _weight(case, attention, affinity)
    transition = BalancedLinks(weight.numpy(), (cam.shape[1], cam.shape[2])).transition()
    spread = weight[None], [len(cam)], case.par["threshold"]
    full = F.interpolate(spread_in_boxes(cam, *spread)[None], size, mode="bilinear", align_corners=False)[0]
    return choice | {
        "out.attn_weight": weight,
        "out.trans_mat": transition @ transition,
        "out.refined": walked_in_boxes(cam, *spread),
        "out.refined_full": full,
        "out.with_background": with_complement(full),
    }


def _weclip_label(case: Case, dtype: torch.dtype) -> Results:
    image, cam, keys = (_tensor(case, "image", dtype), _tensor(case, "cam", dtype), torch.tensor(case.inputs["keys"]))
    refine = PixelAdaptive("par", case.par["iterations"])
    scores = torch.zeros(1, int(keys.max()) + 1, *cam.shape[1:], dtype=dtype)
    scores[0, keys] = cam
    tags = torch.zeros(1, scores.shape[1], dtype=torch.bool)
    tags[0, keys] = True
    inside = torch.ones_like(scores[:, 0], dtype=torch.bool)
    return {
        "out.refined": refine(image[None], with_complement(cam)[None]),
        "out.label": complete_labels(scores, image[None], tags, inside, refine)[0],
    }


def _weclip_losses(case: Case, dtype: torch.dtype) -> Results:
    seg, affinity, label = case.tensor("seg", dtype), case.tensor("affinity", dtype), torch.tensor(case.inputs["label"])
    par = case.par
    grid = (par["rows"], par["columns"])
    logits = F.interpolate(seg, label.shape[1:], mode="bilinear", align_corners=False)
    near = within(grid, par["radius"])
    cells = F.interpolate(label[:, None].double(), grid, mode="nearest")[:, 0].long()
    same, different = (pairs & near for pairs in dense_pair_labels(cells))
    background, void = label == BACKGROUND, torch.full_like(label, IGNORE)
    losses = {
        "seg_loss": seed_cross_entropy(logits, label, balanced=True).to(dtype),
        "aff_loss": dense_affinity_loss(affinity, same, different),
    }
    losses["loss"] = losses["seg_loss"] + par["weight"] * losses["aff_loss"]
    return {
        **{f"out.{name}": value for name, value in losses.items()},
        "out.bg_half": seed_cross_entropy(logits, label.where(background, void)),
        "out.fg_half": seed_cross_entropy(logits, void.where(background, label)),
        "out.aff_label": same.long().masked_fill(~(same | different), par["ignore"]),
        "out.mask_row_sums": near.sum(1),
        "out.pos_count": same.sum() + 1,
        "out.neg_count": different.sum() + 1,
        "grad.seg_loss.seg": _gradient(losses["seg_loss"], seg),
        "grad.aff_loss.affinity": _gradient(losses["aff_loss"], affinity),
        "grad.loss.seg": _gradient(losses["loss"], seg),
        "grad.loss.affinity": _gradient(losses["loss"], affinity),
    }


def _excel_surgery(case: Case, dtype: torch.dtype) -> Results:
    image, text = _tensor(case, "image_features", dtype), _tensor(case, "text_features", dtype)
    maps = surgery_maps(image, text, case.par["temperature"])
    return {"out.maps": maps, "out.class_maps": maps[:, 1:, : case.par["classes"]]}


def _excel_text(case: Case, dtype: torch.dtype) -> Results:
    text, attributes = _tensor(case, "text", dtype), _tensor(case, "attributes", dtype)
    enriched, weights = enriched_text(text, attributes.T, case.par["classes"], case.par["share"])
    return {"out.text": enriched.T, "out.weights": weights}


def _excel_refine(case: Case, dtype: torch.dtype) -> Results:
    classes = torch.tensor(case.inputs["tags"]).nonzero()[:, 0]
    maps = _tensor(case, "maps", dtype).T[classes].unflatten(1, (case.par["rows"], case.par["columns"]))
    attention, affinity = _tensor(case, "attention", dtype)[:, 1:, 1:], _tensor(case, "seg_affinity", dtype)[0]
    weight, _ = _weight(case, attention, affinity)
    refined = walked_in_boxes(maps, weight[None], [len(classes)], case.par["threshold"])
    return {"out.refined": refined, "out.classes": classes}


def _excel_affinity(case: Case, dtype: torch.dtype) -> Results:
    features = case.tensor("features", dtype)
    affinity = centred_affinity(features, case.par["beta"], case.par["gamma"])
    probe = (affinity * _tensor(case, "probe", dtype)).sum()
    return {
        "out.affinity": affinity,
        "out.probe_sum": probe,
        "grad.affinity.features": _gradient(affinity.sum(), features),
        "grad.probe_sum.features": _gradient(probe, features),
    }


WECLIP: dict[str, Callable[[Case, torch.dtype], Results]] = {
    "weclip_cam": _weclip_cam,
    "weclip_label": _weclip_label,
    "weclip_losses": _weclip_losses,
    "excel_surgery": _excel_surgery,
    "excel_text": _excel_text,
    "excel_affinity": _excel_affinity,
    "excel_refine": _excel_refine,
}
