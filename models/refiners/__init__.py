"""Training-free refiners of CAMs: name -> ``"module:attribute"``.

A refiner is built from keyword options and called as ``refiner(image uint8 [H,W,3], cam) -> cam``.
"""

from __future__ import annotations

REFINERS: dict[str, str] = {
    "dense_crf": "models.refiners.dense_crf:DenseCrf",
    "pixel_adaptive": "models.refiners.pixel_adaptive:PixelAdaptiveRefiner",
}
