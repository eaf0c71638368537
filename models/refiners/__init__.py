"""What makes CAMs of CAMs without training: name -> ``"module:attribute"``.

A refiner is built from keyword options and called as ``refiner(image uint8 [H,W,3], cam) -> cam``; an aligner as
``aligner(cam, proposals) -> cam``. What spreads CAMs by what a network says of their image is called as
``walk(links, cam) -> cam`` or ``transport(features, cam) -> cam``.
"""

from __future__ import annotations

REFINERS: dict[str, str] = {
    "dense_crf": "models.refiners.dense_crf:DenseCrf",
    "pixel_adaptive": "models.refiners.pixel_adaptive:PixelAdaptiveRefiner",
}

ALIGNERS: dict[str, str] = {
    "region_vote": "models.refiners.region_vote:RegionVote",
    "sepl": "models.refiners.sepl:Sepl",
}

SPREADS: dict[str, str] = {
    "random_walk": "models.refiners.random_walk:RandomWalk",
    "transport": "models.refiners.transport:Transport",
}
