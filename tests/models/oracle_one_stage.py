"""Adapter of the fixture of 1-stage-wseg, whose mask loss RTC shares."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results
from torch.nn import functional as F

from models.losses.balanced_mask import balanced_mask_cross_entropy
from models.losses.class_score import class_scores, focal_penalty, weighted_pooling, with_constant_background
from models.ops.cut_offs import cut_off_labels
from models.structures import IGNORE


def _planes(labels: torch.Tensor, count: int) -> torch.Tensor:
    return F.one_hot(labels.clamp(max=count), count + 1)[..., :count].movedim(-1, 1)


def _labels(planes: torch.Tensor) -> torch.Tensor:
    return planes.argmax(1).where(planes.sum(1) > 0, IGNORE)


def _balanced_mask_ce(case: Case, dtype: torch.dtype) -> Results:
    par, tags = case.par, torch.tensor(case.inputs["tags"])
    masks = {"rtc": torch.tensor(case.inputs["gt"]), "one_stage": _labels(torch.tensor(case.inputs["one_hot"]))}
    results: Results = {}
    for name, labels in masks.items():
        logits = case.tensor("logits", dtype)
        results[f"out.{name}"] = loss = balanced_mask_cross_entropy(logits, labels, tags)
        loss.sum().backward()
        results[f"grad.{name}.logits"] = logits.grad
    soft = torch.tensor(case.inputs["soft"], dtype=dtype)
    sure = cut_off_labels(soft, par["cutoff_top"], par["cutoff_bg"], par["cutoff_low"])
    results["out.pseudo_gtmask"] = _planes(sure, soft.shape[1]).to(dtype)
    return results | _class_score(case, dtype)


def _class_score(case: Case, dtype: torch.dtype) -> Results:
    penalty, given = (case.par["focal_p"], case.par["focal_lambda"]), case.tensor("logits", dtype)
    logits = with_constant_background(given[:, 1:])
    masks = logits.softmax(1)
    score = class_scores(logits, *penalty)
    score.sum().backward()
    return {
        "out.class_score": score,
        "out.class_score_ngwp": weighted_pooling(logits, masks)[:, 1:],
        "out.class_score_focal": focal_penalty(masks, *penalty)[:, 1:],
        "grad.class_score.logits": given.grad,
    }


ONE_STAGE: dict[str, Callable[[Case, torch.dtype], Results]] = {"balanced_mask_ce": _balanced_mask_ce}
