"""Feature extractors: image in, dictionary of named feature maps out.

Adding one is a file here and a line below; see :class:`models.backbones.base.Backbone` for what it promises.
"""

BACKBONES = {
    "mobilenet_v2": "models.backbones.mobilenet_v2:MobileNetV2",
    "resnet18": "models.backbones.resnet:ResNet18",
    "resnet50": "models.backbones.resnet:ResNet50",
    "resnet101": "models.backbones.resnet:ResNet101",
}
