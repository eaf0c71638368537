"""Rules that turn a CAM into a pseudo-mask: name -> ``"module:attribute"``.

A rule is built from keyword options and called as ``rule(cam, image, tags) -> seeds uint8 [H,W]`` at image size.
"""

from __future__ import annotations

RULES: dict[str, str] = {
    "constant": "models.rules.pseudo_masks:Constant",
    "power": "models.rules.pseudo_masks:Power",
    "complement": "models.rules.pseudo_masks:Complement",
    "two_threshold": "models.rules.pseudo_masks:TwoThreshold",
    "ir_label": "models.rules.ir_label:IrLabel",
    "affinity_label": "models.rules.affinity_label:AffinityLabel",
}
