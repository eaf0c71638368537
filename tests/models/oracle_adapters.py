"""From the keys of a fixture to calls of production functions, and back.

No arithmetic of a method belongs here; what the fixtures have and no method uses is in oracle_only.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from oracle_case import Case, Results
from oracle_clip import CLIP
from oracle_contrast import CONTRAST
from oracle_dense_energy import DENSE_ENERGY
from oracle_one_stage import ONE_STAGE
from oracle_only import unary_from_labels_unsure0
from oracle_proposals import PROPOSALS
from oracle_refinement import REFINEMENT
from oracle_regional import REGIONAL
from oracle_single_stage import SINGLE_STAGE
from oracle_spml import SPML
from oracle_toco import TOCO
from oracle_transport import TRANSPORT
from oracle_weclip import WECLIP

from models.metrics.cam_sweep import CamSweep
from models.metrics.confusion import ConfusionMatrix, mean
from models.metrics.contour import ContourScore, contour, contour_matches, match_radius
from models.ops.background import winner
from models.ops.cam import export_max_norm, export_psa_norm, max_norm
from models.refiners.crf_unary import (
    unary_from_labels,
    unary_from_probabilities,
    unary_from_scores,
)
from models.refiners.dense_crf import CrfSettings, MeanField, SegmentationCrf
from models.rules.ir_label import ir_label
from models.structures import Cam


def _max_norm(case: Case, dtype: torch.dtype) -> Results:
    p = case.tensor("p", dtype)
    norm = max_norm(p, case.par["eps"])
    norm.sum().backward()
    return {"out.norm": norm, "grad.norm.p": p.grad}


def _cam_export_norm(case: Case, dtype: torch.dtype) -> Results:
    cams = torch.tensor(case.inputs["cams"], dtype=dtype)
    present = np.flatnonzero(case.inputs["label"])
    return {
        "out.present": present,
        "out.hfpl_norm_present": export_max_norm(cams.sum(0), case.par["eps"])[present],
        "out.psa_norm_present": export_psa_norm(cams.relu().sum(0), case.par["eps"])[present],
    }


def _eval_miou(case: Case, _: torch.dtype) -> Results:
    confusion = ConfusionMatrix(case.par["num_classes"] - 1)
    for prediction, truth in case.stream("pred", "gt"):
        confusion.update(prediction.astype(np.uint8), truth.astype(np.uint8))
    spml = confusion.iou("zero", eps=1e-12)
    return {
        "out.iou_percent": 100 * confusion.iou("zero"),
        "out.miou_percent": 100 * confusion.miou("zero"),
        "out.spml_iou_percent": 100 * spml,
        "out.spml_miou_percent": 100 * mean(spml),
        "out.irn_iou": confusion.iou("skip"),
        "out.irn_miou": confusion.miou("skip"),
        "out.confusion": confusion.counts[: confusion.largest + 1, : confusion.largest + 1],
    }


def _eval_contour(case: Case, _: torch.dtype) -> Results:
    if "mask" not in case.inputs:
        return _eval_contour_dataset(case)
    mask, truth, bound_th = case.inputs["mask"] != 0, case.inputs["gt"] != 0, case.par["bound_th"]
    names = ("out.match_mask", "out.match_gt", "out.n_mask", "out.n_gt")
    return {
        **dict(zip(names, contour_matches(mask, truth, bound_th), strict=True)),
        "out.boundary_mask": contour(mask).astype(np.int64),
        "out.boundary_gt": contour(truth).astype(np.int64),
        "out.radius": match_radius(mask.shape, bound_th),
    }


def _eval_contour_dataset(case: Case) -> Results:
    score = ContourScore(case.par["num_classes"], case.par["bound_th"])
    for prediction, truth in case.stream("pred", "gt"):
        score.update(prediction.astype(np.uint8), truth.astype(np.uint8))
    return {
        "out.mean_f": score.f().mean(),
        "out.match_first": score.matched_truth,
        "out.match_second": score.matched_prediction,
        "out.n_first": score.truth,
        "out.n_second": score.prediction,
    }


def _eval_cam_sweep(case: Case, _: torch.dtype) -> Results:
    par = case.par
    # Rounded to the decimals of the published i / 100; 0.15 is IRN's.
    thresholds = [round(par["start"] + par["step"] * i, 10) for i in range(par["count"])]
    sweep, irn = CamSweep(par["num_classes"] - 1, thresholds), CamSweep(par["num_classes"] - 1, [0.15])
    for classes, cam, truth in case.stream("classes", "cam", "gt"):
        for scores in (sweep, irn):
            scores.update(classes + 1, cam, truth.astype(np.uint8))
    best = sweep.best()
    return {
        "out.miou_curve_percent": 100 * sweep.curve(),
        "out.best_index": best,
        "out.best_threshold": sweep.thresholds[best],
        "out.best_iou_percent": 100 * sweep.confusion(best).iou(),
        "out.irn_miou_at_015": irn.confusion(0).miou("skip"),
    }


def _settings(case: Case) -> CrfSettings:
    par = case.par
    return CrfSettings(
        par["gauss_sxy"], par["gauss_compat"], par["bil_sxy"], par["bil_srgb"], par["bil_compat"], par["iterations"]
    )


def _crf_prob(case: Case, _: torch.dtype) -> Results:
    par, scores = case.par, case.inputs["cam"]
    unary = unary_from_scores(scores, par["alpha"], normalize=bool(par["normalised"]), clip=par["clip"])
    field_ = MeanField(case.inputs["image"].astype(np.uint8), len(unary), _settings(case))
    return {"out.unary": unary, "out.q": field_(unary)}


def _crf_label(case: Case, _: torch.dtype) -> Results:
    if "labels" in case.inputs:
        return _crf_unaries(case)
    par, image = case.par, case.inputs["image"].astype(np.uint8)
    scores, keys = case.inputs["cam"], case.inputs["keys"]
    starts = [winner(scores, par["fg_threshold"]), winner(scores, par["bg_threshold"])]
    unaries = [unary_from_labels(start, len(keys), par["gt_prob"]) for start in starts]
    posteriors = [MeanField(image, len(keys), _settings(case))(unary) for unary in unaries]
    fg_conf, bg_conf = (keys[posterior.argmax(0)] for posterior in posteriors)
    cam = Cam(keys[1:], scores, image.shape[:2])
    thresholds = par["fg_threshold"], par["bg_threshold"]
    label = ir_label(image, cam, *thresholds, certainty=par["gt_prob"], settings=_settings(case))
    return {
        "out.start_fg": starts[0],
        "out.start_bg": starts[1],
        "out.unary_fg": unaries[0],
        "out.q_fg": posteriors[0],
        "out.fg_conf": fg_conf,
        "out.bg_conf": bg_conf,
        "out.ir_label": label,
    }


def _crf_unaries(case: Case) -> Results:
    labels, count = case.inputs["labels"], case.par["n_labels"]
    return {
        "out.from_labels": unary_from_labels(labels, count, case.par["gt_prob"]),
        "out.from_labels_unsure0": unary_from_labels_unsure0(labels, count, case.par["gt_prob2"]),
        "out.from_softmax": unary_from_probabilities(case.inputs["scores"]),
    }


def _crf_other(case: Case, _: torch.dtype) -> Results:
    crf = SegmentationCrf()
    crf.settings = _settings(case)
    return {"out.q": crf(case.inputs["image"].astype(np.uint8), case.inputs["prob"])}


ADAPTERS: dict[str, Callable[[Case, torch.dtype], Results]] = {
    "max_norm": _max_norm,
    "cam_export_norm": _cam_export_norm,
    "eval_miou": _eval_miou,
    "eval_contour": _eval_contour,
    "eval_cam_sweep": _eval_cam_sweep,
    "crf_prob": _crf_prob,
    "crf_label": _crf_label,
    "crf_other": _crf_other,
    **REFINEMENT,
    **CONTRAST,
    **ONE_STAGE,
    **REGIONAL,
    **SPML,
    **SINGLE_STAGE,
    **CLIP,
    **DENSE_ENERGY,
    **PROPOSALS,
    **TOCO,
    **TRANSPORT,
    **WECLIP,
}
