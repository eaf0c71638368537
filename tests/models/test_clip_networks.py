"""CLIP's two towers compute what the original code did, with weights by formula (helpers/network_oracle.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.clip import ClipVitB16
from models.backbones.clip_text import ClipText, text_features, tokenise
from tests.helpers.network_oracle import MODERN, NetworkOracle

pytestmark = pytest.mark.slow
VOC_CLASSES, TEMPLATE = 20, "a clean origami {}."


def oracle(name: str) -> NetworkOracle:
    if not (MODERN / f"{name}_white.npz").exists():
        pytest.skip("no networks of methods since 2023 (environment variable MODERN_NETWORKS)")
    return NetworkOracle(name)


def compare(published: NetworkOracle, key: str, found: dict[str, Tensor]) -> None:
    for output, (expected, stride, tolerance, counts) in published.outputs(key).items():
        values = found[output].detach().numpy()[tuple(slice(None, None, step) for step in stride)]
        assert values.shape == expected.shape, (key, output)
        worst = float(np.abs(values.astype(np.float64) - expected).max())
        assert worst <= tolerance or not counts, f"{key} {output}: off by {worst:.2g}, tolerance {tolerance:.2g}"


def test_the_image_tower() -> None:
    published = oracle("clip_vit_b16_image")
    tower = ClipVitB16().eval()
    entries = ClipVitB16.own_entries(published.entries())
    tower.load_state_dict({**tower.state_dict(), **entries})
    assert entries.keys() == tower.state_dict().keys() - {"mean", "std"}
    for key in published.inputs:
        image = published.image(key)
        torch.testing.assert_close((image - tower.mean) / tower.std, published.normalised(key), rtol=1e-6, atol=2e-6)
        with torch.inference_mode():
            tokens = tower.look(image, attention=True)
            last = tower.ln_post(tokens.after[-1])
            found = {f"tokens_block{number}": tokens.after[number - 1] for number in (4, 8, 12)}
            found |= {f"attn_block{number}": tokens.attention[number - 1] for number in (11, 12)}
            found |= {"ln_post": last, "embedding_cls": last[:, 0] @ tower.proj}
            found |= {"embedding_mean": last[:, 1:].mean(1) @ tower.proj}
            plain = tower(image)
        compare(published, key, found)
        torch.testing.assert_close(plain["layer2"], tokens.maps(5), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(plain["layer4"].flatten(2).transpose(1, 2), last[:, 1:], rtol=1e-4, atol=1e-4)


def test_the_text_tower() -> None:
    published = oracle("clip_vit_b16_text")
    pytest.importorskip("open_clip")
    tower = ClipText(published.entries()).eval()
    for key in published.inputs:
        tokens = torch.from_numpy(published.file[f"input/{key}"])
        prompts = published.file[f"prompts/{key}"].tolist()
        assert torch.equal(tokenise(prompts), tokens)
        with torch.inference_mode():
            after = tower.after_blocks(tokens)
            found = {f"tokens_block{number}": after[number - 1] for number in (4, 8, 12)}
            found |= {"embedding": tower(tokens), "zeroshot": text_features(tower, ["{}"], prompts)}
        compare(published, key, found)


def test_the_prompts_of_clip_es_become_the_published_tokens() -> None:
    published = oracle("clip_vit_b16_text")
    pytest.importorskip("open_clip")
    names = [key.partition("/")[2] for key in published.file.files if key.startswith("tokens/")]
    assert names
    for name in names:
        assert torch.equal(
            tokenise(published.file[f"prompts/{name}"].tolist()), torch.from_numpy(published.file[f"tokens/{name}"])
        )


def test_texts_in_several_templates_are_averaged_at_length_one() -> None:
    published = oracle("clip_vit_b16_text")
    pytest.importorskip("open_clip")
    tower = ClipText(published.entries()).eval()
    with torch.inference_mode():
        one, other, both = (text_features(tower, t, ["cat"]) for t in (["{}"], [TEMPLATE], ["{}", TEMPLATE]))
    torch.testing.assert_close(both, F.normalize(one + other, dim=1))
