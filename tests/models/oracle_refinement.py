"""Adapters of the refinement fixtures: affinities, walks, pixel-adaptive averages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from oracle_case import Case, Results
from oracle_only import disc_indices, pair_indices
from oracle_single_stage import cam_labels
from torch.nn import functional as F

from models.losses.affinity import affinity_loss, dense_affinity_loss, displacement_losses
from models.losses.cross_entropy import seed_cross_entropy
from models.methods.amn import spread_over_all
from models.methods.boundary_net import boundary_links
from models.ops.affinity import (
    cosine_affinity,
    dense_pair_labels,
    feature_affinity,
    pair_labels,
    path_affinity,
    propagate_tagged,
)
from models.ops.cam import export_psa_norm
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.pixel_pairs import fitting_radius, pair_offsets, pair_paths
from models.ops.random_walk import DenseLinks, PairLinks
from models.refiners.random_walk import RandomWalk
from models.rules.affinity_label import merge_scores
from models.rules.pseudo_masks import Complement, Constant
from models.structures import Cam, Links


def _psa_pairs(case: Case, _: torch.dtype) -> Results:
    radius, size = case.par["radius"], (case.par["height"], case.par["width"])
    sources, targets = pair_indices(size, pair_offsets(radius), radius)
    results: Results = {"out.ind_from": sources, "out.ind_to": targets}
    if "circle_from" in case.out:
        around, ring = disc_indices(size, radius)
        results |= {"out.circle_from": around, "out.circle_to": ring}
    return results


def _flat(pairs: torch.Tensor) -> torch.Tensor:
    return pairs.flatten(-2).long()


def _psa_aff_labels(case: Case, _: torch.dtype) -> Results:
    radius = case.par["radius"]
    labels = pair_labels(torch.tensor(case.inputs["label"])[None], pair_offsets(radius), radius)
    kinds = {"bg_pos": labels.background, "fg_pos": labels.foreground, "neg": labels.different}
    return {f"out.{name}": _flat(pairs[0]) for name, pairs in kinds.items()}


def _psa_aff_merge(case: Case, dtype: torch.dtype) -> Results:
    float_ = np.float32 if dtype == torch.float32 else np.float64
    labels, pooled = merge_scores(case.inputs["la"].astype(float_), case.inputs["ha"].astype(float_), case.par["block"])
    return {"out.label": labels, "out.pooled": pooled}


def _psa_affinity(case: Case, dtype: torch.dtype) -> Results:
    features = case.tensor("feat", dtype)
    grid = features.shape[2:]
    radius = fitting_radius(grid, case.par["radius"])
    offsets = pair_offsets(radius)
    affinity = feature_affinity(features, offsets, radius)
    results: Results = {"out.aff": affinity.flatten(2)}
    if "dense" in case.out:
        results["out.dense"] = PairLinks(affinity[0].detach().numpy(), offsets, grid, radius - 1).matrix().toarray()
    if "label" not in case.inputs:
        results["grad.aff.feat"] = _gradient(affinity.sum(), features)
        return results
    labels = pair_labels(torch.tensor(case.inputs["label"]), offsets, radius)
    loss = affinity_loss(affinity, labels)
    parts = {"loss": loss.total, "bg_loss": loss.background, "fg_loss": loss.foreground, "neg_loss": loss.different}
    counts = {"bg": labels.background, "fg": labels.foreground, "neg": labels.different}
    results |= {f"out.{name}": value for name, value in parts.items()}
    results |= {f"grad.{name}.feat": _gradient(value, features) for name, value in parts.items()}
    return results | {f"out.{name}_count": pairs.sum() + 1e-5 for name, pairs in counts.items()}


def _gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    gradient = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(of) if gradient is None else gradient


def _power(links: Links, beta: float, log_t: int) -> np.ndarray:
    """T^(2^log_t) as a dense matrix: the walk of every unit vector."""
    cells = links.grid[0] * links.grid[1]
    return links.walk(np.eye(cells).reshape(cells, *links.grid), beta, 2**log_t).reshape(cells, cells)


def _psa_walk(case: Case, dtype: torch.dtype) -> Results:
    par, features = case.par, torch.tensor(case.inputs["feat"], dtype=dtype)
    grid = (features.shape[2], features.shape[3])
    offsets = pair_offsets(par["radius"])
    affinity = feature_affinity(features, offsets, par["radius"])[0].numpy()
    links = PairLinks(affinity, offsets, grid, par["radius"] - 1, stride=8)
    cam = _cam(case, dtype)
    walk = RandomWalk("psa", beta=par["beta"], log_t=par["logt"], alpha=par["alpha"])
    entering = walk.entering(cam, links)
    tags = np.isin(np.arange(1, 21), cam.classes)
    return {
        "out.dense": links.matrix().toarray(),
        "out.trans_mat": _power(links, par["beta"], par["logt"]),
        "out.pooled": entering,
        "out.cam_rw": links.walk(entering, par["beta"], 2 ** par["logt"]),
        "out.label": Complement()(walk(links, cam), None, tags),
    }


def _cam(case: Case, dtype: torch.dtype) -> Cam:
    classes, scores = case.inputs["classes"] + 1, torch.tensor(case.inputs["cam"], dtype=dtype).numpy()
    return Cam(classes, scores, (case.par["height"], case.par["width"]))


def _irn_paths(case: Case, _: torch.dtype) -> Results:
    radius, size = case.par["radius"], (case.par["height"], case.par["width"])
    paths = pair_paths(radius)
    offsets = tuple(path[0] for path in paths)
    sources, targets = pair_indices(size, offsets, radius)
    groups = [list(group) for _, group in groupby(paths, key=len)]
    results: Results = {
        "out.src": sources,
        "out.dst": targets,
        "out.offsets": np.array(offsets),
        "out.radius_floor": radius - 1,
        "out.n_groups": len(groups),
    }
    for index, group in enumerate(groups):
        wanted = case.out[f"group{index:02d}_paths"]
        # the order of equally distant cells of a path means nothing: compare as sets, answer in the reference's order
        assert [set(path) for path in group] == [{tuple(cell) for cell in path} for path in wanted.tolist()]
        cells = [pair_indices(size, tuple(map(tuple, path)), radius)[1] for path in wanted.tolist()]
        results[f"out.group{index:02d}_paths"] = wanted
        results[f"out.group{index:02d}_flat"] = np.stack(cells)
    return results


def _irn_affinity(case: Case, dtype: torch.dtype) -> Results:
    edge, par = case.tensor("edge", dtype), case.par
    affinity = path_affinity(edge[:, 0], par["radius"])
    results: Results = {"out.aff": affinity.flatten(2), "grad.aff.edge": _gradient(affinity.sum(), edge)}
    if "dense" in case.out:
        offsets = tuple(path[0] for path in pair_paths(par["radius"]))
        grid = (edge.shape[2], edge.shape[3])
        links = PairLinks(affinity[0].detach().numpy(), offsets, grid, par["radius"] - 1)
        results["out.dense"] = links.matrix().toarray()
        results["out.trans_mat"] = _power(links, par["beta"], par["exp_times"])
    return results


def _irn_losses(case: Case, dtype: torch.dtype) -> Results:
    radius = case.par["radius"]
    edge, displacement = case.tensor("edge_logit", dtype), case.tensor("disp", dtype)
    offsets = tuple(path[0] for path in pair_paths(radius))
    labels = pair_labels(torch.tensor(case.inputs["label"]), offsets, radius)
    alike = affinity_loss(path_affinity(edge.sigmoid()[:, 0], radius), labels)
    foreground, background = displacement_losses(displacement, labels, offsets, radius)
    losses = {
        "bg_pos_aff_loss": alike.background,
        "fg_pos_aff_loss": alike.foreground,
        "pos_aff_loss": (alike.background + alike.foreground) / 2,
        "neg_aff_loss": alike.different,
        "dp_fg_loss": foreground,
        "dp_bg_loss": background,
        "total_loss": alike.total + (foreground + background) / 2,
    }
    kinds = {"bg_pos": labels.background, "fg_pos": labels.foreground, "neg": labels.different}
    results: Results = {f"out.{name}": value for name, value in losses.items()}
    results |= {f"out.{name}_label": _flat(pairs) for name, pairs in kinds.items()}
    for name, value in losses.items():
        results[f"grad.{name}.edge_logit"] = _gradient(value, edge)
        results[f"grad.{name}.disp"] = _gradient(value, displacement)
    return results


def _irn_walk(case: Case, dtype: torch.dtype) -> Results:
    par, inputs = case.par, case.inputs
    boundary = torch.tensor(inputs["edge"], dtype=dtype)
    links = boundary_links(boundary, par["radius"], stride=4)
    cam = Cam(inputs["keys"][1:], inputs["cam"], (par["height"], par["width"]))
    walk = RandomWalk("irn", beta=par["beta"], log_t=par["exp_times"])
    walked = links.walk(walk.entering(cam, links), par["beta"], 2 ** par["exp_times"])
    tags = np.isin(np.arange(1, inputs["keys"].max() + 1), cam.classes)
    enlarged = F.interpolate(torch.tensor(walked)[None], scale_factor=4, mode="bilinear", align_corners=False)
    return {
        "out.rw": walked[:, None],
        "out.rw_up_max": enlarged[..., : cam.size[0], : cam.size[1]].max(),
        "out.label": Constant(par["bg"])(walk(links, cam), None, tags),
    }


def _spml_walk(case: Case, dtype: torch.dtype) -> Results:
    par = case.par
    size = (par["height"], par["width"])
    grid = (size[0] // 8, size[1] // 8)
    affinities = [_spml_affinity(case, name, size, grid, dtype) for name in ("emb_quarter", "emb_flip_quarter")]
    affinity = sum(affinities) / 2
    links = DenseLinks(affinity.numpy(), grid, stride=8)
    walk = RandomWalk("spml", beta=par["power"], log_t=par["walk_steps"], alpha=par["alpha"])
    results: Results = {"out.aff": affinity, "out.trans_mat": _power(links, par["power"], par["walk_steps"])}
    if "cam" in case.inputs:
        cam = _cam(case, dtype)
        seed = walk.entering(cam, links)
        tags = np.isin(np.arange(1, 21), cam.classes)
        results["out.label"] = Complement()(walk(links, cam), None, tags)
    else:
        listed = [0, *(case.inputs["classes"] + 1)]
        shares = torch.tensor(case.inputs["logits"], dtype=dtype).softmax(0)[listed]
        seed = export_psa_norm(shares, eps=0.0).numpy()
    walked = links.walk(seed, par["power"], 2 ** par["walk_steps"])
    if "cam" not in case.inputs:
        enlarged = F.interpolate(torch.tensor(walked)[None], size, mode="bilinear", align_corners=False)[0]
        results["out.label"] = np.array(listed)[enlarged.argmax(0).numpy()]
    return results | {"out.seed": seed, "out.cam_rw": walked}


def _spml_affinity(case: Case, name: str, size: Any, grid: Any, dtype: torch.dtype) -> torch.Tensor:
    resize = partial(F.interpolate, mode="bilinear", align_corners=False)
    return cosine_affinity(resize(resize(torch.tensor(case.inputs[name], dtype=dtype), size), grid), case.par["kappa"])[
        0
    ]


def _pixel_adaptive(kind: Any) -> Callable[[Case, torch.dtype], Results]:
    def adapter(case: Case, dtype: torch.dtype) -> Results:
        image, mask = case.tensor("image", dtype), case.tensor("mask", dtype)
        refined = PixelAdaptive(kind, case.par["iterations"], case.inputs["dilations"].tolist())(image, mask)
        probe = (refined * torch.tensor(case.inputs["probe"], dtype=dtype)).sum()
        return {
            "out.refined": refined,
            "out.probe_sum": probe,
            "grad.refined.mask": _gradient(refined.sum(), mask),
            "grad.probe_sum.mask": _gradient(probe, mask),
            "grad.probe_sum.image": _gradient(probe, image),
        }

    return adapter


def _afa_losses(case: Case, dtype: torch.dtype) -> Results:
    logits, affinity = case.tensor("logits", dtype), case.tensor("aff", dtype)
    cells = torch.tensor(case.inputs["label_big"])[:, ::16, ::16]
    alike, different = dense_pair_labels(cells)
    loss = dense_affinity_loss(affinity, alike, different)
    seeds = torch.tensor(case.inputs["label"])
    segmentation = seed_cross_entropy(logits, seeds, balanced=True)
    smoothing = spread_over_all(case.par["amn_eps"], logits.shape[1])
    smoothed = seed_cross_entropy(logits, seeds, balanced=True, label_smoothing=smoothing)
    tags = torch.tensor(case.inputs["tags"]).bool()
    cams = torch.tensor(case.inputs["cams"], dtype=dtype)
    return {
        "out.seg_loss": segmentation,
        "grad.seg_loss.logits": _gradient(segmentation, logits),
        "out.amn_balanced_ce": smoothed,
        "grad.amn_balanced_ce.logits": _gradient(smoothed, logits),
        "out.aff_label": torch.full_like(alike, 255, dtype=torch.int64).masked_fill(alike, 1).masked_fill(different, 0),
        "out.aff_loss": loss,
        "grad.aff_loss.aff": _gradient(loss, affinity),
        "out.pos_count": alike.sum() + 1,
        "out.neg_count": different.sum() + 1,
        "out.cams_rw": propagate_tagged(cams, tags, affinity.detach(), case.par["bkg"]),
        **cam_labels(case, dtype),
    }


REFINEMENT: dict[str, Callable[[Case, torch.dtype], Results]] = {
    "psa_pairs": _psa_pairs,
    "psa_aff_labels": _psa_aff_labels,
    "psa_aff_merge": _psa_aff_merge,
    "psa_affinity": _psa_affinity,
    "psa_walk": _psa_walk,
    "irn_paths": _irn_paths,
    "irn_affinity": _irn_affinity,
    "irn_losses": _irn_losses,
    "irn_walk": _irn_walk,
    "spml_walk": _spml_walk,
    "pamr": _pixel_adaptive("pamr"),
    "par": _pixel_adaptive("par"),
    "varm": _pixel_adaptive("varm"),
    "afa_losses": _afa_losses,
}
