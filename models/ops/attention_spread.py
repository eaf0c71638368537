"""CLIP-ES's class-aware affinity within a training step: maps spread over attention from their boxes, on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.ops.boxes import box_mask
from models.ops.cam import min_max
from models.ops.random_walk import BalancedLinks

STEPS = 2
"""Of the walk: T is squared once."""


def spread_in_boxes(maps: Tensor, weights: Tensor, counts: Sequence[int], threshold: float) -> Tensor:
    """Spread the maps of several images, each image's over its own affinity.

    Args:
        maps: [P,h,w] in [0,1], of all images one after the other.
        weights: [B,n,n], not negative, n = h*w, rows receive: what :class:`models.ops.random_walk.BalancedLinks` takes.
        counts: maps of each of the B images, which add up to P.
        threshold: share of a map's maximum above which its boxes lie, outside of which nothing starts; 0: no boxes.

    Returns:
        float32 [P,h,w], each from 0 to almost 1. The host computes them, and a GPU waits.

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/clip/clip_tool.py (compute_trans_mat, generate_cam_label).
    """
    return min_max(walked_in_boxes(maps, weights, counts, threshold))


def walked_in_boxes(maps: Tensor, weights: Tensor, counts: Sequence[int], threshold: float) -> Tensor:
    """:func:`spread_in_boxes` before each map is stretched."""
    values, links = maps.cpu().numpy(), weights.cpu().numpy()
    if threshold:
        values = values * np.stack([box_mask(one, threshold) for one in values])
    images = zip(np.split(values, np.cumsum(counts)[:-1]), links, strict=True)
    grid = (maps.shape[1], maps.shape[2])
    walked = [BalancedLinks(link, grid).walk(value, 1.0, STEPS) for value, link in images]
    return torch.from_numpy(np.concatenate(walked)).to(maps)
