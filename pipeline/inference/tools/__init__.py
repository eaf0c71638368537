"""Labelling tools that masks are written for, by the name that ``--as`` calls them."""

from __future__ import annotations

TOOLS = {
    "cvat": "pipeline.inference.tools.cvat:write",
    "labelme": "pipeline.inference.tools.labelme:write",
    "labelstudio": "pipeline.inference.tools.label_studio:write",
    "coco": "pipeline.inference.tools.coco:write",
    "yolo": "pipeline.inference.tools.yolo:write",
}
"""A writer is called as ``write(images, folder, how)``: ``Images``, a folder that is there, and
``How``, of :mod:`pipeline.inference.tools.images`."""
