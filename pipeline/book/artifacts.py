"""The one table from (kind, name) to a path."""

from __future__ import annotations

from pathlib import Path

PRODUCERS: dict[str, tuple[str, ...]] = {
    "catalogues": ("prepare",),
    "ground_truth": ("prepare",),
    "supervision": ("annotate", "import_annotations", "make_pseudo_masks", "overlay_labels"),
    "checkpoints": ("import_weights", "train"),
    "proposals": ("import_proposals",),
    "cams": ("export_cams", "refine_cams", "propagate_cams", "align_cams", "merge_cams"),
    "masks": ("predict_masks", "classify_proposals"),
    "evaluations": ("evaluate",),
    "localisations": ("evaluate_boxes",),
}
"""Each kind of artefact and the verbs (sections of params.yaml) that make it: they share one name space."""

VERBS: tuple[str, ...] = tuple(dict.fromkeys(verb for verbs in PRODUCERS.values() for verb in verbs))

SECTIONS: tuple[str, ...] = (
    "prepare",
    "annotate",
    "import_annotations",
    "import_weights",
    "import_proposals",
    "train",
    "export_cams",
    "refine_cams",
    "propagate_cams",
    "align_cams",
    "merge_cams",
    "make_pseudo_masks",
    "overlay_labels",
    "predict_masks",
    "classify_proposals",
    "evaluate",
    "evaluate_boxes",
)
"""The verbs in the order in which a params.yaml has their sections."""

OPTIONAL = ("import_proposals", "align_cams", "merge_cams", "overlay_labels", "classify_proposals")
"""Sections that a params.yaml need not have: dvc.yaml has empty ones, which those of the book are merged into."""

TABLE_ROWS = ("recipes", "repeats", "boxes")
"""Keys of the section ``table`` that hold rows by name."""

SCORED = ("evaluate", "evaluate_boxes")
"""Verbs whose artefact is a folder with a metrics.json, which DVC knows by its files."""


def kind_of(verb: str) -> str:
    """The kind of artefact that a verb makes."""
    return next(kind for kind, verbs in PRODUCERS.items() if verb in verbs)


def artifact(work: str | Path, kind: str, name: str) -> Path:
    """Where the artefact ``name`` of ``kind`` lies under a book's work folder."""
    if kind not in PRODUCERS:
        raise KeyError(f"no artefact kind '{kind}': {', '.join(PRODUCERS)}")
    return Path(work) / kind / name


def code_fingerprint(work: str | Path, verb: str, name: str) -> Path:
    """The file whose content changes when the code behind a stage does."""
    return Path(work) / "code" / verb / name
