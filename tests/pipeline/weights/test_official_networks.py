"""Published networks, loaded through the importer, compute what their original code did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from models.losses.class_score import class_scores
from models.method import layers
from models.ops.affinity import feature_affinity
from models.ops.pixel_pairs import fitting_radius, pair_offsets
from models.ops.tokens import token_maps
from pipeline.storage.checkpoints import Card, build_method
from pipeline.weights.official.importing import OfficialNetwork, from_entries
from pipeline.weights.official.table import OFFICIAL
from pipeline.weights.pretrained import import_weights
from tests.helpers.network_oracle import FOLDER, NetworkOracle, available

Page = Any
Answers = dict[str, Tensor]


def enlarged(maps: Tensor, image: Tensor, align_corners: bool = True) -> Tensor:
    return F.interpolate(maps, image.shape[2:], mode="bilinear", align_corners=align_corners)


def seam(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    outputs = page.look(image)
    return {
        "cam": enlarged(outputs["logits"], image),
        "cam_rv": enlarged(outputs["refined"], image),
        "logits": outputs["logits"],
    }


def ppc(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    outputs = page.look(image)
    projected = published.method.projection(outputs["features"]).relu()  # type: ignore[operator, union-attr]
    return {**seam(page, published, image), "f_proj": projected, "cam_rv_down": outputs["refined"]}


def psa_cls(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    return {"scores": page.tag_scores(image), "forward_cam": page.maps(image).relu()}


def affinity(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    features = page.head(page.backbone(image))
    height, width = features.shape[2:]
    radius = fitting_radius((height, width), page.radius)
    links = feature_affinity(features, pair_offsets(radius), radius)
    dense = torch.eye(height * width)
    rows, columns = height - radius + 1, width - 2 * (radius - 1)
    for (dy, dx), values in zip(pair_offsets(radius), links[0], strict=True):
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns) + radius - 1, indexing="ij")
        here, there = (y * width + x).flatten(), ((y + dy) * width + x + dx).flatten()
        dense[here, there] = dense[there, here] = values.flatten()
    return {"feature": features, "aff": links.flatten(2), "aff_dense": dense}


def irn_cam(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    pair = torch.cat([image, image.flip(-1)])
    maps = page.maps(pair).relu()
    return {"scores": page.tag_scores(pair), "cam": maps[0] + maps[1].flip(-1)}


def irn(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    features = page.backbone(torch.cat([image, image.flip(-1)]))
    return {
        "edge": page.boundaries(image),
        "displacement": page.displacements(image),
        "net_edge_logit": page.boundary(features),
        "net_displacement": page.displacement(features),
    }


def spml(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    embedding = page.embed(image)
    full = enlarged(embedding, image, align_corners=False)
    height, width = embedding.shape[2:]
    rows, columns = torch.linspace(-0.5, 0.5, height), torch.linspace(-0.5, 0.5, width)
    return {
        "embedding": embedding,
        "embedding_full": full,
        "logit_from_stride4": page.scores(image),
        "logit_full": page.classifier(F.normalize(full, dim=1)),
        "local_feature": torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).expand(len(image), -1, -1, -1),
    }


def rtc(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    outputs = page.look(image)
    return {
        "cam": enlarged(outputs["logits"], image),
        "cam_rv": enlarged(outputs["refined"], image),
        "f": outputs["embedded"],
        "cam_rv_down": outputs["refined"],
        "seg": page.scores(image),
    }


def deeplab_v1(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    return {"logits": enlarged(page.scores(image), image, page.align_corners)}


def deeplab_v2(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    return {"logits_msc": page.scores(image), "logits_single_scale": page.head(page.backbone(image))}


def one_stage(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    logits = page.scores(image)
    return {
        "cls": class_scores(logits),
        "masks": enlarged(logits.softmax(1), image),
        "mask_logits_fg": logits[:, 1:],
    }


def afa(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    outputs = page.look(image)
    _, attention = page.backbone.with_attention(image)
    return {
        "cls": page.tag_scores(image),
        "seg": outputs["scores"],
        "attn_pred": outputs["affinity"],
        "cam_s16": outputs["maps"],
        "attn_last": attention[:, 8:],
    }


def toco(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    seen, outputs = token_maps(page.backbone, image, page.early), page.look(image)
    products = page.backbone.tokens(image, blocks=1)[1][0]
    return {
        "cls_token": seen.image,
        "patch_tokens": seen.patches.flatten(2).transpose(1, 2),
        "aux_tokens": seen.early.flatten(2).transpose(1, 2),
        "cam": outputs["maps"],
        "cam_aux": outputs["maps_early"],
        "cls": outputs["logits"],
        "cls_aux": outputs["logits_early"],
        "seg": outputs["scores"],
        "proj": page.projector(seen.image),
        "proj_t": page.teacher.network(seen.image),
        "attn_block12": products.softmax(-1).mean(1),
    }


def dinov2(page: Page, published: OfficialNetwork, image: Tensor) -> Answers:
    tokens, _ = page.backbone.tokens(image)
    last = page.backbone.network.norm(tokens[-1])
    return {
        "x_norm_patchtokens": last[:, 1:],
        "x_norm_clstoken": last[:, 0],
        "x_prenorm": tokens[12],
        "tokens_block4": tokens[4],
        "tokens_block8": tokens[8],
    }


NETWORKS: dict[str, tuple[str, Callable[[Page, OfficialNetwork, Tensor], Answers]]] = {
    "seam": ("seam", seam),
    "hfpl_seam_voc": ("hfpl_seam", seam),
    "hfpl_seam_coco": ("hfpl_seam", seam),
    "ppc_wseg": ("ppc", ppc),
    "psa_cls": ("psa_cls", psa_cls),
    "psa_aff": ("psa_aff", affinity),
    "seam_aff": ("seam_aff", affinity),
    "irn_cam": ("irn_cam", irn_cam),
    "irn_irn": ("irn", irn),
    "spml": ("spml", spml),
    "rtc": ("rtc", rtc),
    "hfpl_deeplabv1": ("deeplab_v1", deeplab_v1),
    "deeplabv2_r101_msc": ("deeplab_v2", deeplab_v2),
    "one_stage_wseg": ("one_stage", one_stage),
    "afa_mit_b1": ("afa", afa),
    "toco_deit_b": ("toco", toco),
    "dinov2_vits14": ("timm/vit_small_patch14_dinov2", dinov2),
}
"""Oracle -> name in the importer, or of a backbone, and what makes the oracle's outputs of our page."""


def loaded(name: str, entries: dict[str, Tensor], folder: Path) -> OfficialNetwork:
    """The published network; a backbone as that of a classifier."""
    if name in OFFICIAL:
        return from_entries(name, entries)
    save_file(entries, folder / "published.safetensors")
    method = build_method("classifier", 1, {"backbone": name})
    method.load_state_dict(import_weights(name, folder / "published.safetensors").state, strict=False)
    return OfficialNetwork(method.eval(), Card(), ())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS.keys() & available()))
def test_the_network_answers_as_the_original_did(name: str, tmp_path: Path) -> None:
    oracle = NetworkOracle(name)
    official, answers = NETWORKS[name]
    published = loaded(official, oracle.entries(), tmp_path)
    (_, page), *_ = layers(published.method)
    mean, std = page.backbone.mean.clone(), page.backbone.std.clone()
    page.backbone.mean.zero_()
    page.backbone.std.fill_(1)  # IRN on its canvas enlarges the rounding of a normalisation above the tolerance
    for key in oracle.inputs:
        image = oracle.normalised(key)
        torch.testing.assert_close(
            (oracle.image(key) - mean) / std, image, rtol=1e-6, atol=2e-6 * max(1, image.abs().max())
        )
        with torch.inference_mode():
            found = answers(page, published, image)
        for output, (expected, stride, tolerance, counts) in oracle.outputs(key).items():
            values = found[output].numpy()[tuple(slice(None, None, step) for step in stride)]
            assert values.shape == expected.shape, (key, output)
            worst = float(np.abs(values.astype(np.float64) - expected).max())
            assert worst <= tolerance or not counts, f"{key} {output}: off by {worst:.2g}, tolerance {tolerance:.2g}"


def test_every_network_is_compared() -> None:
    if not available(FOLDER):
        pytest.skip("no published networks (environment variable NETWORKS)")
    assert set(available(FOLDER)) <= set(NETWORKS)
