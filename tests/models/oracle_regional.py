"""Adapter of the fixture of RCM and MAM, whose background is the last class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from oracle_case import Case, Results

from models.ema import follow
from models.losses.multiscale_attention import attentive_target, attentive_weights, multiscale_attention
from models.losses.regional_contrast import image_prototypes, leave_one_out, region_mask, regional_contrast
from models.ops.cam import tagged_maps
from models.ops.tagged_pairs import TaggedPairs


def _last(regions: torch.Tensor, classes: int) -> torch.Tensor:
    """Background 0 and classes from 1, as background C and classes from 0."""
    return (regions - 1).where(regions > 0, classes)


def _numbered(case: Case, name: str, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    number = 0
    while f"{name}{number}" in case.inputs:
        yield case.tensor(f"{name}{number}", dtype)
        number += 1


def _everywhere(maps: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    """[n,C,H,W] from the maps of tagged pairs."""
    full = maps.new_zeros(*tags.shape, *maps.shape[1:])
    full[tags] = maps
    return full


def _gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(value, of, retain_graph=True)[0]


def _rcm_mam(case: Case, dtype: torch.dtype) -> Results:
    par, tags = case.par, torch.tensor(case.inputs["label"]).bool()
    size, classes = (par["height"], par["width"]), tags.shape[1]
    support = list(_numbered(case, "support_logits", dtype))
    single = region_mask([case.tensor("support_logits_single", dtype)], tags, size, par["threshold"])
    multi = region_mask(support, tags, size, par["threshold"])
    by_image = image_prototypes(case.tensor("support_feature", dtype), single, classes)
    others, feature = leave_one_out(by_image), case.tensor("main_feature", dtype)
    loss = regional_contrast(feature, others, multi, par["temperature"], "faithful")
    return {
        "out.region_multi": _last(multi, classes),
        "out.region_single": _last(single, classes),
        "out.image_prototypes": by_image.roll(-1, 1),
        "out.loo_prototypes": others.roll(-1, 1),
        "out.rcm_loss": loss,
        "out.rcm_loss_ignore_empty": regional_contrast(feature, others, multi, par["temperature"], "ignore"),
        "grad.rcm_loss.main_feature": _gradient(loss, feature),
        "out.ema": _ema(case, dtype),
        **_mam(case, support, tags, size, dtype),
    }


def _mam(case: Case, support: list[torch.Tensor], tags: torch.Tensor, size: Any, dtype: torch.dtype) -> Results:
    count = case.par["mam_images"]
    main, tags = list(_numbered(case, "main_logits", dtype)), tags[:count]
    loss = multiscale_attention([z[:count] for z in main], [z[:count] for z in support], tags, size)
    pairs = TaggedPairs.of(tags)
    seen, followed = ([_everywhere(tagged_maps(z[:count], pairs, size), tags) for z in zs] for zs in (main, support))
    return {
        "out.mam_loss": loss,
        "out.mam_weights": torch.stack([attentive_weights(maps, followed) for maps in seen]),
        "out.mam_target_scale1": attentive_target(seen[1], followed),
        **{f"grad.mam_loss.main_logits{s}": _gradient(loss, z) for s, z in enumerate(main)},
    }


def _ema(case: Case, dtype: torch.dtype) -> torch.Tensor:
    average, module = (torch.nn.ParameterList([case.tensor(name, dtype)]) for name in ("ema_support", "ema_main"))
    follow(average, module, case.par["momentum"])
    return average[0]


REGIONAL: dict[str, Callable[[Case, torch.dtype], Any]] = {"pixelssl_rcm_mam": _rcm_mam}
