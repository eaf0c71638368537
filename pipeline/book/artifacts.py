"""The one table from (kind, name) to a path."""

from __future__ import annotations

from pathlib import Path

PRODUCERS: dict[str, tuple[str, ...]] = {
    "catalogues": ("prepare",),
    "ground_truth": ("prepare",),
    "supervision": ("annotate", "import_annotations", "make_pseudo_masks", "overlay_labels"),
    "checkpoints": ("import_weights", "train"),
    "cams": ("export_cams", "refine_cams", "propagate_cams"),
    "masks": ("predict_masks",),
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
    "train",
    "export_cams",
    "refine_cams",
    "propagate_cams",
    "make_pseudo_masks",
    "overlay_labels",
    "predict_masks",
    "evaluate",
    "evaluate_boxes",
)
"""The verbs in the order in which a params.yaml has their sections."""

OPTIONAL_SECTIONS = ("overlay_labels",)
"""Sections that a params.yaml may lack: dvc.yaml has an empty one in their place (its ``vars:``)."""

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
