"""The published networks: which page each is, with which options, and by which rules its entries are renamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.weights.official.rules import (
    AFFINITY,
    AFFINITY_KERNELS,
    IRN_ALIASES,
    IRN_RESNET,
    RESNET38D,
    SEAM,
    Rules,
    irn_heads,
    mit_encoder,
    projector,
)


@dataclass(frozen=True)
class Official:
    """A published network.

    Attributes:
        source: repository@commit:paths.
        method: its page here. options: the page's. add_ons: around the page, with their options.
        rules: (pattern, replacement) of entry names; the first pattern that matches counts. Two replacements, joined
            by " | ", share the entry's rows half and half.
        ignored: patterns of entries that the file may hold and nothing here needs.
        classes: entry, after renaming, whose first axis counts the classes; "" where the network tells none.
        background: whether that axis counts the background too.
        parts: names of the state dicts in the file, where it holds several.
        checkpoints: what the repository calls its files.
    """

    source: str
    method: str
    rules: Rules
    options: Mapping[str, Any] = field(default_factory=dict)
    add_ons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    classes: str = ""
    background: bool = True
    parts: tuple[str, ...] = ()
    checkpoints: str = ""


WIDE: Mapping[str, Any] = {"backbone": "resnet38d", "output_stride": 8, "freeze_bn": True, "frozen_stages": 1}

OFFICIAL: dict[str, Official] = {
    "seam": Official(
        "YudeWang/SEAM@3212261:network/resnet38_SEAM.py",
        "seam",
        SEAM,
        {**WIDE, "dropout": 0.5},
        classes="head.classifier.weight",
        checkpoints="resnet38_SEAM.pth",
    ),
    "hfpl_seam": Official(
        "arvijj/hfpl@1038a68:network/resnet38_SEAM.py, network/resnet38_SEAM_coco.py",
        "seam",
        SEAM,
        {**WIDE, "dropout": 0.5},
        classes="head.classifier.weight",
        checkpoints="cam.pth of VOC or COCO",
    ),
    "ppc": Official(
        "usr922/wseg@e96b961:network/resnet38_contrast.py",
        "seam",
        ((r"^fc_proj\.", "add_ons.ppc.projection."), *SEAM),
        {**WIDE, "dropout": 0.5, "second_size": 128},
        add_ons={"ppc": {"dropout": 0.5}},
        classes="head.classifier.weight",
        checkpoints="ppc/voc12_cls.pth",
    ),
    "psa_cls": Official(
        "jiwoon-ahn/psa@9493e59:network/resnet38_cls.py",
        "classifier",
        (*RESNET38D, (r"^fc8\.", "head.classifier.")),
        {**WIDE, "dropout": 0.5},
        classes="head.classifier.weight",
        background=False,
        checkpoints="res38_cls.pth",
    ),
    "psa_aff": Official(
        "jiwoon-ahn/psa@9493e59:network/resnet38_aff.py",
        "affinity_net",
        AFFINITY,
        WIDE,
        checkpoints="res38_aff.pth",
    ),
    "seam_aff": Official(
        "YudeWang/SEAM@3212261:network/resnet38_aff.py",
        "affinity_net",
        AFFINITY,
        WIDE,
        checkpoints="resnet38_aff_SEAM.pth; also HFPL's, PPC's and RTC's aff.pth",
    ),
    "irn_cam": Official(
        "jiwoon-ahn/irn@a2ece00:net/resnet50_cam.py",
        "classifier",
        (*IRN_RESNET, (r"^classifier\.", "head.classifier.")),
        {"backbone": "resnet50_irn", "output_stride": 16, "freeze_bn": True, "frozen_stages": 1},
        ignored=IRN_ALIASES,
        classes="head.classifier.weight",
        background=False,
        checkpoints="res50_cam.pth.pth; AdvCAM's and RIB's start there",
    ),
    "irn": Official(
        "jiwoon-ahn/irn@a2ece00:net/resnet50_irn.py",
        "boundary_net",
        (
            *IRN_RESNET,
            *irn_heads(),
            (r"^fc_edge6\.", "boundary.logit."),
            (r"^fc_dp6\.0\.", "displacement.deep.convolution."),
            (r"^fc_dp6\.1\.", "displacement.deep.norm."),
            (r"^fc_dp7\.([013])\.", r"displacement.mix.\1."),
            (r"^mean_shift\.running_mean$", "displacement.mean"),
        ),
        {"backbone": "resnet50_irn", "output_stride": 16, "canvas": 512},
        ignored=(*IRN_ALIASES, r"^fc_dp7\.[24]\.", r"^path_indices", r"^disp_target$"),
        checkpoints="res50_irn.pth",
    ),
    "spml": Official(
        "twke18/SPML@0800afd:spml/models/embeddings/resnet_deeplab.py, spml/models/predictions/softmax_classifier.py",
        "spml",
        (
            (r"^embedding_model::resnet_backbone\.conv1\.(conv1|bn1)\.(.*)$", r"backbone.\1.\2"),
            (r"^embedding_model::resnet_backbone\.res2\.(.*)$", r"backbone.layer1.\1"),
            (r"^embedding_model::resnet_backbone\.res3\.(.*)$", r"backbone.layer2.\1"),
            (r"^embedding_model::resnet_backbone\.res4\.(.*)$", r"backbone.layer3.\1"),
            (r"^embedding_model::resnet_backbone\.res5\.(.*)$", r"backbone.layer4.\1"),
            (r"^embedding_model::aspp\.aspp_1\.0\.", "head.branches.0."),
            (r"^embedding_model::aspp\.aspp_2\.0\.", "head.branches.1."),
            (r"^embedding_model::aspp\.aspp_3\.0\.", "head.branches.2."),
            (r"^embedding_model::aspp\.aspp_4\.0\.", "head.branches.3."),
            (r"^prediction_model::semantic_classifier\.([01])\.", r"classifier.hidden.\1."),
            (r"^prediction_model::semantic_classifier\.4\.", "classifier.classifier."),
        ),
        {"backbone": "resnet101_deep", "output_stride": 8, "frozen_stages": 2, "bank": 0},
        classes="classifier.classifier.weight",
        parts=("embedding_model", "prediction_model"),
        checkpoints="model-029999.pth",
    ),
    "rtc": Official(
        "ChunyanWang1/RTC@9c777e0:network/resnet38_contrast.py",
        "rtc",
        (
            *RESNET38D,
            (r"^proj1\.", "cam_head.embedding."),
            (r"^classifier1\.", "cam_head.classifier."),
            (r"^f8_3\.", "affinity.levels.0."),
            (r"^f8_4\.", "affinity.levels.1."),
            (r"^f8_5\.", "affinity.levels.2."),
            (r"^f9_1\.", "affinity.mix_deep."),
            (r"^f9_2\.", "affinity.mix_shallow."),
            (r"^fc8_seg_conv1\.", "decoder.context.0."),
            (r"^fc8_seg_conv2\.", "decoder.context.1."),
            (r"^fc8_seg_conv3\.", "decoder.local."),
            (r"^fc8_seg_conv4\.", "decoder.join."),
            (r"^fc8_seg_conv5\.", "decoder.low_level."),
            (r"^proj2\.", "decoder.projection."),
            (r"^classifier2\.", "decoder.classifier."),
        ),
        {**WIDE, "dropout": 0.5},
        ignored=(r"^fc8\.weight$", *AFFINITY_KERNELS),
        classes="cam_head.classifier.weight",
        checkpoints="rtc_voc12_cls_23.pth",
    ),
    "deeplab_v1": Official(
        "arvijj/hfpl@1038a68:lib/net/deeplabv1.py",
        "segmenter",
        (
            *RESNET38D,
            (r"^conv_fov\.", "head.conv6."),
            (r"^bn_fov\.", "head.bn6."),
            (r"^conv_fov2\.", "head.conv7."),
            (r"^bn_fov2\.", "head.bn7."),
            (r"^cls_conv\.", "head.classifier."),
        ),
        {**WIDE, "head": "large_fov", "head_width": 512, "dropout": 0.5, "align_corners": True},
        classes="head.classifier.weight",
        checkpoints="deeplabv1_resnet38_*_itr20000_all.pth of SEAM, PPC, HFPL and RTC",
    ),
    "deeplab_v2": Official(
        "kazuto1011/deeplab-pytorch@4219467:libs/models/deeplabv2.py, libs/models/msc.py",
        "segmenter",
        (
            (r"^base\.aspp\.c([0-3])\.", r"head.branches.\1."),
            (r"^base\.(layer[1-5]\..*)$", r"backbone.\1"),
        ),
        {
            "backbone": "resnet101_caffe",
            "output_stride": 8,
            "freeze_bn": True,
            "head": "aspp_v2",
            "dropout": 0.0,
            "also_scales": [0.5, 0.75],
        },
        classes="head.branches.0.weight",
        checkpoints="deeplabv2_resnet101_msc-*.pth",
    ),
    "one_stage": Official(
        "visinf/1-stage-wseg@d905fca:models/stage_net.py",
        "one_stage",
        (
            *RESNET38D,
            (r"^aspp\.aspp1\.atrous_conv\.", "head.branches.0.0."),
            (r"^aspp\.aspp2\.atrous_conv\.", "head.branches.1.0."),
            (r"^aspp\.aspp3\.atrous_conv\.", "head.branches.2.0."),
            (r"^aspp\.aspp4\.atrous_conv\.", "head.branches.3.0."),
            (r"^aspp\.aspp1\.bn\.", "head.branches.0.1."),
            (r"^aspp\.aspp2\.bn\.", "head.branches.1.1."),
            (r"^aspp\.aspp3\.bn\.", "head.branches.2.1."),
            (r"^aspp\.aspp4\.bn\.", "head.branches.3.1."),
            (r"^aspp\.global_avg_pool\.1\.", "head.pooling.0."),
            (r"^aspp\.global_avg_pool\.2\.", "head.pooling.1."),
            (r"^aspp\.conv1\.", "head.projection.0."),
            (r"^aspp\.bn1\.", "head.projection.1."),
            (r"^shallow_mask\.fc_deep\.([01])\.", r"head.inject.cue.\1."),
            (r"^shallow_mask\.fc_skip\.0\.", "head.inject.project."),
            (r"^shallow_mask\.fc_skip\.1\.", "head.inject.normalise."),
            (r"^shallow_mask\.fc_cls\.([01])\.", r"head.inject.mix.\1."),
            (r"^fc8_skip\.([01])\.", r"head.low_level.\1."),
            (r"^fc8_x\.([01])\.", r"head.merge.\1."),
            (r"^last_conv\.([01])\.", r"head.decoder.0.\1."),
            (r"^last_conv\.4\.", "head.decoder.2.0."),
            (r"^last_conv\.5\.", "head.decoder.2.1."),
            (r"^last_conv\.8\.", "head.classifier."),
        ),
        {"backbone": "resnet38d_sum", "output_stride": 8, "freeze_bn": True, "frozen_stages": 1},
        ignored=AFFINITY_KERNELS,
        classes="head.classifier.weight",
        background=False,
        checkpoints="models/snapshots/*/model_enc_*.pth",
    ),
    "afa": Official(
        "rulixiang/afa@adcfa29:wetr/model_attn_aff.py, wetr/mix_transformer.py (mit_b1), wetr/segformer_head.py",
        "afa",
        (
            *mit_encoder(),
            (r"^decoder\.linear_c([1-4])\.proj\.", r"decoder.projections.layer\1."),
            (r"^decoder\.linear_fuse\.conv\.", "decoder.mix.0."),
            (r"^decoder\.linear_fuse\.bn\.", "decoder.mix.1."),
            (r"^decoder\.linear_pred\.", "decoder.classifier."),
            (r"^attn_proj\.", "affinity_head."),
            (r"^classifier\.", "cam_head.classifier."),
        ),
        {"backbone": "mit_b1", "output_stride": 16},
        classes="cam_head.classifier.weight",
        background=False,
        checkpoints="wetr_iter_20000.pth",
    ),
    "toco": Official(
        "rulixiang/ToCo@e13514d:model/model_seg_neg.py, model/backbone/deit.py, model/backbone/vit.py",
        "toco",
        (
            (r"^encoder\.(?!head\.)", "backbone."),
            (r"^classifier\.", "heads.cam.classifier."),
            (r"^aux_classifier\.", "heads.early.classifier."),
            (r"^decoder\.", "heads.decoder."),
            *projector("proj_head", "projector"),
            *projector("proj_head_t", "teacher.network"),
        ),
        {"backbone": "timm/deit_base_patch16_224"},
        ignored=(r"^encoder\.head\.",),
        classes="heads.cam.classifier.weight",
        background=False,
        checkpoints="model_iter_20000.pth, of DeiT-B/16 and of ViT-B/16",
    ),
}
"""Name in params.yaml (`import_weights.NAME.official`) -> network."""
