"""CLIP's text tower (Radford et al. 2021), and the tokens of prompts. It runs once, when weights are imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.errors import ConfigurationError
from models.ops.transformer_blocks import QuickGelu, blocks

FIRST, LAST = 49406, 49407
"""Tokens at the beginning and at the end of a prompt; 0 fills up what is left."""
CONTEXT = 77
"""Tokens of a prompt, these two among them."""


class ClipText(nn.Module):
    """Tokens int64 [P,77] -> features [P,E], not normalised. Its sizes are those of the entries.

    Args:
        entries: under the official names; those of the image tower (``visual.*``) are not read.
        activation: of its blocks; the image tower's.

    Raises:
        ConfigurationError: the entries hold no text tower, or one that is not whole.

    Source: docs/methods/clip_es.md, section 2; openai/CLIP@d05afc4:clip/model.py.
    """

    def __init__(self, entries: Mapping[str, Tensor], activation: type[nn.Module] = QuickGelu) -> None:
        super().__init__()
        own = {name: value.float() for name, value in entries.items() if not name.startswith(("visual.", "logit_"))}
        if "token_embedding.weight" not in own or "text_projection" not in own:
            raise ConfigurationError(
                "expected the entries of a CLIP file with both towers, found no text tower "
                "(token_embedding.weight, text_projection). Remedy: the whole file, or features of texts as they are."
            )
        vocabulary, width = own["token_embedding.weight"].shape
        depth = len({name.split(".")[2] for name in own if name.startswith("transformer.resblocks.")})
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty_like(own["positional_embedding"]))
        self.transformer = blocks(width, depth, activation)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty_like(own["text_projection"]))
        try:
            self.load_state_dict(own)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"the text tower is not whole ({reason:.200}). Remedy: the whole file.") from None

    def after_blocks(self, tokens: Tensor) -> list[Tensor]:
        """What [P,77,D] becomes after each block, padding included, for tokens int64 [P,77]."""
        count = tokens.shape[1]
        later = torch.full((count, count), -torch.inf, device=tokens.device).triu(1)  # a token sees those before it
        x = self.token_embedding(tokens) + self.positional_embedding[:count]
        after = []
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            x = block(x, later)
            after.append(x)
        return after

    def forward(self, tokens: Tensor) -> Tensor:
        at_end = self.after_blocks(tokens)[-1][torch.arange(len(tokens)), tokens.argmax(1)]  # LAST is the largest
        features: Tensor = self.ln_final(at_end) @ self.text_projection
        return features


def tokenise(prompts: Sequence[str]) -> Tensor:
    """Tokens int64 [P,77] of prompts, by OpenCLIP's copy of the published vocabulary (no network).

    Raises:
        ConfigurationError: open_clip is not installed, or a prompt is longer than 75 tokens.
    """
    try:
        from open_clip.tokenizer import SimpleTokenizer
    except ImportError as error:
        raise ConfigurationError(
            f"Prompts need packages that are not installed ({error.name}). Remedy: pip install 'weak2mask[clip]'."
        ) from None
    tokenizer = SimpleTokenizer()
    rows = torch.zeros(len(prompts), CONTEXT, dtype=torch.int64)
    for row, prompt in zip(rows, prompts, strict=True):
        words = tokenizer.encode(prompt)
        if len(words) > CONTEXT - 2:
            raise ConfigurationError(
                f"prompt '{prompt[:60]}...': expected at most {CONTEXT - 2} tokens, found {len(words)}. "
                "Remedy: fewer words."
            )
        row[: len(words) + 2] = torch.tensor([FIRST, *words, LAST])
    return rows


def text_features(tower: ClipText, templates: Sequence[str], texts: Sequence[str]) -> Tensor:
    """Features [T,E] of length 1: of each text in every template ("a photo of {}."), their mean, of length 1 again."""
    features = [
        nn.functional.normalize(tower(tokenise([template.format(text) for text in texts])), dim=1)
        for template in templates
    ]
    return nn.functional.normalize(torch.stack(features).mean(0), dim=1)
