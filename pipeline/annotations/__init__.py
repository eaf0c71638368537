"""Kinds of supervision, by the name that a recipe calls them."""

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
