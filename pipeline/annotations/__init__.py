"""Kinds of supervision, and where class-agnostic masks come from, by the name that a recipe calls them."""

from __future__ import annotations

ANNOTATORS = {
    "tags": "pipeline.annotations.tags:Tags",
    "boxes": "pipeline.annotations.boxes:Boxes",
    "points": "pipeline.annotations.points:Points",
    "scribbles": "pipeline.annotations.scribbles:Scribbles",
    "masks": "pipeline.annotations.masks:Masks",
    "shapes": "pipeline.annotations.shapes:Shapes",
    "mixture": "pipeline.annotations.mixture:Mixture",
}

PROPOSERS = {
    "sam": "pipeline.annotations.proposers:SamFiles",
    "coco_results": "pipeline.annotations.proposers:CocoResults",
    "regions": "pipeline.annotations.proposers:RegionMaps",
}
