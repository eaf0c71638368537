"""From the keys of the fixtures of CLIP-ES to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
import torch
from oracle_case import Case, Results
from oracle_only import largest_contour_box
from torch import nn

from models.backbones.clip import Tokens
from models.heads.text_cam import text_maps
from models.ops.background import power_background
from models.ops.boxes import box_mask, contour_boxes
from models.ops.cam import grad_cam, gradient_weights, min_max, weighted_features
from models.ops.random_walk import BalancedLinks
from models.ops.resize import resize_bilinear
from models.ops.transformer_blocks import Block
from models.refiners.crf_picture import wrapped_picture
from models.refiners.crf_unary import unary_from_scores
from models.refiners.dense_crf import CrfSettings, MeanField
from models.refiners.random_walk import RandomWalk
from models.rules.pseudo_masks import Complement
from models.structures import Cam


def _scale(case: Case, dtype: torch.dtype) -> Results:
    scaled = min_max(torch.tensor(case.inputs["cam"], dtype=dtype))
    return {
        "out.scaled": scaled,
        "out.twice": min_max(scaled),
        "out.resized": resize_bilinear(scaled.numpy(), (case.par["height"], case.par["width"])),
    }


def _gradcam(case: Case, dtype: torch.dtype) -> Results:
    features, gradient = (torch.tensor(case.inputs[name], dtype=dtype) for name in ("activation", "gradient"))
    weights = gradient_weights(gradient)
    return {
        "out.weights": weights,
        "out.raw": weighted_features(features, weights),
        "out.cam": grad_cam(features, gradient),
    }


def _chain(case: Case, dtype: torch.dtype) -> Results:
    inputs = {name: torch.tensor(value, dtype=dtype) for name, value in case.inputs.items()}
    width, classes = inputs["tokens"].shape[2], len(inputs["fg_text"])
    block, norm = Block(width).to(dtype).eval(), nn.LayerNorm(width).to(dtype)
    block.load_state_dict(
        {name: inputs["block_" + name.replace(".", "_")] for name in block.state_dict()},
    )
    norm.load_state_dict({"weight": inputs["ln_post_weight"], "bias": inputs["ln_post_bias"]})
    found = text_maps(
        block,
        norm,
        inputs["proj"],
        inputs["tokens"].transpose(0, 1),
        (case.par["rows"], case.par["columns"]),
        torch.cat([inputs["fg_text"], inputs["bg_text"]]),
        torch.tensor(case.par["log_logit_scale"], dtype=dtype),
        classes,
    )
    return {
        "out.prob": found.probabilities[None],
        "out.attention": found.attention[None],
        "out.activation": found.activation,
        "out.gradient": found.gradient,
        "out.weights": gradient_weights(found.gradient),
        "out.cam": found.maps,
    }


def _box_mask(case: Case, _: torch.dtype) -> Results:
    scores, threshold = case.inputs["scoremap"], case.par["threshold"]
    boxes = contour_boxes(scores, threshold)
    return {
        "out.boxes_sorted": boxes[np.lexsort(boxes.T[::-1])],
        "out.mask": box_mask(scores, threshold).astype(np.int64),
        "out.largest": largest_contour_box(scores, threshold),
    }


def _caa(case: Case, dtype: torch.dtype) -> Results:
    cam, par = case.inputs["cam"], case.par
    attention = torch.tensor(case.inputs["attention"], dtype=dtype)
    affinity = Tokens((), tuple(attention), cam.shape).patch_attention(8)[0].numpy()
    links = BalancedLinks(affinity, cam.shape, ceil(par["height"] / cam.shape[0]))
    transition, mask = links.transition(), box_mask(cam, par["threshold"])
    walk = RandomWalk("clip_es", boxes=par["threshold"])
    size = (par["height"], par["width"])
    entered = walk.entering(Cam(np.array([1]), cam[None], size), links)
    return {
        "out.attn_weight": affinity,
        "out.trans_mat": transition @ transition,
        "out.mask": mask.astype(np.int64),
        "out.refined": links.walk(entered, walk.settings.beta, 2**walk.settings.log_t)[0],
        "out.refined_full": walk(links, Cam(np.array([1]), cam[None], size)).scores[0],
    }


def _confidence(case: Case, _: torch.dtype) -> Results:
    par, size = case.par, case.inputs["image_bgr"].shape[:2]
    scores = case.inputs["cam"].astype(np.float16).astype(np.float32)
    image = case.inputs["image_bgr"][:, :, ::-1].astype(np.uint8)
    settings = CrfSettings(
        par["gauss_xy"], par["gauss_w"], par["bilateral_xy"], par["bilateral_rgb"], par["bilateral_w"],
        par["iterations"], wrapped=True,
    )  # fmt: skip
    posterior = MeanField(image, 1 + len(scores), settings)(unary_from_scores(scores, par["alpha"]))
    classes = case.inputs["keys"] + 1
    refined, tags = Cam(classes, posterior[1:], size), np.ones(classes.max(), np.bool_)
    return {
        "out.with_background": np.concatenate([power_background(scores, par["alpha"])[None], scores]),
        "out.crf_image": wrapped_picture(image).astype(np.int64),
        "out.crf_prob": posterior,
        "out.label_full": Complement()(refined, None, tags).astype(np.int64),
        "out.label": Complement(confidence=par["confidence"])(refined, None, tags).astype(np.int64),
    }


CLIP: dict[str, Callable[[Case, torch.dtype], Results]] = {
    "clipes_scale": _scale,
    "clipes_gradcam": _gradcam,
    "clipes_chain": _chain,
    "clipes_box_mask": _box_mask,
    "clipes_caa": _caa,
    "clipes_confidence": _confidence,
}
