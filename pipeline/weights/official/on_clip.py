"""The published networks that stand on CLIP, whose classes are texts."""

from __future__ import annotations

from pipeline.weights.official.rules import Official, Rules

TOWER: Rules = ((r"^visual\.(.*)$", r"backbone.\1"), (r"^texts\.", "texts."))
TEXT_TOWER = (r"^(token_embedding|positional_embedding|transformer|ln_final|text_projection|logit_scale)\b",)

ON_CLIP: dict[str, Official] = {
    "clip_es": Official(
        "openai/CLIP@d05afc4:clip/model.py; linyq2117/CLIP-ES@3893f81:clip_text.py",
        "clip_es",
        TOWER,
        {"backbone": "clip_vit_b16"},
        ignored=TEXT_TOWER,
        classes="texts.classes",
        background=False,
        prompted=True,
        checkpoints="ViT-B-16.pt of OpenAI; also ViT-B-32.pt and ViT-L-14.pt",
    ),
    "excel": Official(
        "openai/CLIP@d05afc4:clip/model.py; zwyang6/ExCEL@2cd7f51:clip/clip_surgery_model.py, clip/clip.py",
        "clip_es",
        TOWER,
        {"backbone": "clip_vit_b16", "maps": "patch_text", "attention_blocks": 6},
        ignored=TEXT_TOWER,
        classes="texts.classes",
        background=False,
        prompted=True,
        checkpoints="ViT-B-16.pt of OpenAI, with the maps of ExCEL",
    ),
    "weclip": Official(
        "zbf1991/WeCLIP@0f47db4:WeCLIP/WeCLIP_model/model_attn_aff_voc.py, WeCLIP/WeCLIP_model/segformer_head.py",
        "weclip",
        (
            *TOWER,
            (r"^decoder_fts_fuse\.linears_modulelist\.(\d+)\.proj\.", r"fusion.levels.\1.0."),
            (r"^decoder_fts_fuse\.linears_modulelist\.(\d+)\.proj_2\.", r"fusion.levels.\1.2."),
            (r"^decoder_fts_fuse\.linear_fuse\.", "fusion.mix."),
            (r"^decoder\.linear_pred\.", "decoder.classifier."),
            (r"^decoder\.transformer\.", "decoder.transformer."),
        ),
        {"backbone": "clip_vit_b16"},
        ignored=TEXT_TOWER,
        classes="decoder.classifier.weight",
        prompted=True,
        normalisation="imagenet",
        checkpoints="WeCLIP_model_iter_30000.pth",
    ),
}
