"""Feature extractors: image in, dictionary of named feature maps out.

Adding one is a file here and a line below; see :class:`models.backbones.base.Backbone` for what it promises, and for
the attributes by which a backbone says what is special to it. :func:`models.backbones.build.build_backbone` opens the
door.
"""

from models.doors import Door

BACKBONES = Door(
    {
        "clip_vit_b16": "models.backbones.clip:ClipVitB16",
        "clip_vit_b32": "models.backbones.clip:ClipVitB32",
        "clip_vit_l14": "models.backbones.clip:ClipVitL14",
        "mit_b0": "models.backbones.mit:MitB0",
        "mit_b1": "models.backbones.mit:MitB1",
        "mit_b2": "models.backbones.mit:MitB2",
        "mobilenet_v2": "models.backbones.mobilenet_v2:MobileNetV2",
        "openclip_vit_b16": "models.backbones.clip:OpenClipVitB16",
        "resnet18": "models.backbones.resnet:ResNet18",
        "resnet50": "models.backbones.resnet:ResNet50",
        "resnet38d": "models.backbones.resnet38d:ResNet38d",
        "resnet38d_sum": "models.backbones.resnet38d:ResNet38dSum",
        "resnet50_irn": "models.backbones.resnet_variants:ResNet50Irn",
        "resnet101": "models.backbones.resnet:ResNet101",
        "resnet101_caffe": "models.backbones.resnet_variants:ResNet101Caffe",
        "resnet101_deep": "models.backbones.resnet_variants:ResNet101Deep",
        "timm/NAME": "models.backbones.timm_networks:TimmNetwork",
    }
)
