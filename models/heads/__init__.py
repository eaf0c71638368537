"""Heads: dictionary of features in, one map of scores per output channel out.

Every head is built as ``Head(channels, outputs, output_stride=..., width=..., dropout=...)`` from the
backbone's ``channels`` and answers ``forward(features) -> [B,outputs,h,w]`` at the network's grid.
"""

HEADS = {
    "cam": "models.heads.cam:CamHead",
    "large_fov": "models.heads.large_fov:LargeFov",
    "aspp_v2": "models.heads.aspp:AsppV2",
    "aspp_v3": "models.heads.aspp:AsppV3",
    "aspp_v3plus": "models.heads.aspp:AsppV3Plus",
    "psp": "models.heads.psp:PyramidPooling",
    "segformer": "models.heads.segformer:SegFormerHead",
    "rtc": "models.heads.rtc_decoder:RtcDecoder",
}
