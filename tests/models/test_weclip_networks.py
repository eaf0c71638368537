"""WeCLIP's decoder and ExCEL's second path compute what the original code did (helpers/network_oracle.py)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.backbones.clip import ClipVitB16
from models.backbones.clip_surgery import look_twice, normalised_over_tokens
from models.heads.token_decoder import LevelFusion, TokenDecoder
from models.ops.affinity import product_affinity, similar_cells
from pipeline.datasets.class_names import VOC_CLASSES
from pipeline.weights.official.importing import from_entries
from tests.helpers.network_oracle import MODERN, NetworkOracle

pytestmark = pytest.mark.slow
OVERWRITTEN = {"level7", "level8", "level9", "level10", "level11"}
"""Stored tokens that later blocks of the published code write into; ours are those of the blocks."""


def oracle(name: str) -> NetworkOracle:
    if not (MODERN / f"{name}_white.npz").exists():
        pytest.skip("no networks of methods since 2023 (environment variable MODERN_NETWORKS)")
    return NetworkOracle(name)


def compare(published: NetworkOracle, key: str, answers: dict[str, Tensor], partly: bool = False) -> None:
    for output, (expected, stride, tolerance, counts) in published.outputs(key).items():
        if output in OVERWRITTEN or not counts or (partly and output not in answers):
            continue
        values = answers[output].numpy()[tuple(slice(None, None, step) for step in stride)]
        assert values.shape == expected.shape, (key, output)
        worst = float(np.abs(values.astype(np.float64) - expected).max())
        assert worst <= tolerance, f"{key} {output}: off by {worst:.2g}, tolerance {tolerance:.2g}"


def test_the_decoder_of_weclip() -> None:
    published = oracle("weclip_decoder")
    fusion, decoder = LevelFusion(768, 11).eval(), TokenDecoder(256, 21).eval()
    fused, rest = {}, {}
    for name, value in published.entries().items():
        if name.startswith("decoder_fts_fuse."):
            own = re.sub(r"linears_modulelist\.(\d+)\.proj\.", r"levels.\1.0.", name.removeprefix("decoder_fts_fuse."))
            own = re.sub(r"linears_modulelist\.(\d+)\.proj_2\.", r"levels.\1.2.", own).replace("linear_fuse", "mix")
            fused[own] = value.view(fusion.state_dict()[own].shape)
        else:
            rest[name.removeprefix("decoder.").replace("linear_pred", "classifier")] = value
    fusion.load_state_dict(fused)
    decoder.load_state_dict(rest)
    for key in published.inputs:
        levels = torch.from_numpy(published.file[f"input/{key}"])
        with torch.inference_mode():
            maps = fusion(list(levels))
            logits, attention = decoder.with_attention(maps)
            flat = maps.flatten(2)
            answers = {
                "fts": maps,
                "seg": logits,
                "decoder_attn3": attention,
                "attn_pred": product_affinity(maps),
                "attn_logit": flat.transpose(1, 2) @ flat,
            }
        compare(published, key, answers)


def test_the_second_path_of_excel() -> None:
    published = oracle("excel_clip_vit_b16")
    tower = ClipVitB16().eval()
    tower.load_state_dict({**tower.state_dict(), **ClipVitB16.own_entries(published.entries())})
    for key in published.inputs:
        image = published.image(key)
        guide = similar_cells(torch.from_numpy(published.file[f"input_guide/{key}"]))
        with torch.inference_mode():
            tokens, features = look_twice(tower, image)
            _, guided = look_twice(tower, image, guide=guide)
        answers = {"features": features, "features_guided": guided}
        answers |= {
            name.replace("features", "features_normalised"): normalised_over_tokens(x) for name, x in answers.items()
        }
        answers |= {f"level{number}": one for number, one in enumerate(tokens.after, 1)}
        answers |= {f"attn_block{number}": one for number, one in enumerate(tokens.attention, 1)}
        compare(published, key, answers)


def test_the_official_file_of_weclip_becomes_its_page() -> None:
    published, tower = oracle("weclip_decoder"), ClipVitB16()
    visual = {f"visual.{name}": value for name, value in tower.state_dict().items() if name not in ("mean", "std")}
    texts = {"texts.classes": torch.rand(20, 512), "texts.background": torch.rand(25, 512)}
    entries = visual | published.entries() | texts | {"texts.logit_scale": torch.tensor(4.6)}
    method: Any = from_entries("weclip", entries, VOC_CLASSES).method
    assert torch.equal(method.backbone.conv1.weight, tower.conv1.weight)
    assert torch.equal(method.texts.background, texts["texts.background"])
    key = published.inputs[0]
    levels = torch.from_numpy(published.file[f"input/{key}"])
    with torch.inference_mode():
        maps = method.fusion(list(levels))
        compare(published, key, {"fts": maps, "seg": method.decoder(maps)}, partly=True)
