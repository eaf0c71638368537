"""From the keys of the fixture of the dense-energy loss to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results

from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from models.losses.dense_energy import WEIGHT, dense_energy, gaussian_filter


def _toco_energy(case: Case, dtype: torch.dtype) -> Results:
    """The exact sums; ``out`` has those of a lattice, which are about half of them."""
    par, logits = case.par, case.tensor("seg", dtype)
    normalised, maps = (torch.tensor(case.inputs[name], dtype=dtype) for name in ("image", "filter_in"))
    mean, std = (torch.tensor(values, dtype=dtype).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    inside = torch.zeros(normalised.shape[0], *normalised.shape[2:], dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(inside, case.inputs["box"], strict=True):
        mask[top:bottom, left:right] = True
    widths = {"sigma_rgb": par["sigma_rgb"], "sigma_xy": par["sigma_xy"]}
    labels = torch.tensor(case.inputs["label"])
    energy = dense_energy(logits, normalised * std + mean, labels, inside, **widths, scale=par["scale"])
    energy = energy * (par["weight"] / WEIGHT)
    picture = torch.tensor(case.inputs["filter_image"], dtype=dtype)
    return {
        "formula.loss_exact": energy,
        "formula.grad_exact": torch.autograd.grad(energy, logits)[0],
        "formula.filtered_exact": gaussian_filter(maps, picture, par["sigma_rgb"], par["sigma_xy"] * par["scale"]),
    }


DENSE_ENERGY: dict[str, Callable[[Case, torch.dtype], Results]] = {"toco_energy": _toco_energy}
