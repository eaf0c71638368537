"""What ``check`` finds wrong with what a book asks of a page: a function that it lacks, or has switched off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.methods import METHODS
from models.refiners import SPREADS
from pipeline.book.params import Book
from pipeline.book.signatures import has_method, options_model, trait
from pipeline.weights.official.table import OFFICIAL

ROLES = {
    "export_cams": ("cams", "localise"),
    "predict_masks": ("scores", "segment"),
    "classify_proposals": ("features", "show the features of a backbone"),
    "evaluate_boxes": ("tag_scores", "rank the classes of an image"),
}
"""What a verb asks of the method behind its checkpoint: the name of the function, and what it is for."""

OPTION_ROLES = {
    ("export_cams", "maps", "posteriors"): ("scores", "segment"),
    ("predict_masks", "gate", True): ("gated_scores", "say whether a class is in an image"),
}
"""What a value of a verb's option asks instead."""


PAST_FEATURES = {"reads_attention": "attention", "reads_tokens": "tokens", "reads_texts": "blocks of CLIP"}
"""Trait of a page -> what it reads of its backbone in place of the features that can be kept."""

SPREAD_ROLES = {
    "links": ("links", "say which pixels belong together"),
    "features": ("features", "show the features of a backbone"),
}
"""What ``propagate_cams`` asks, by what its spread reads."""


def role_problems(book: Book, where: str, entry: Any, verb: str) -> Iterator[str]:
    """A page must be able to do what a verb asks of it (:data:`ROLES`)."""
    needed = _role(verb, entry)
    if needed is None:
        return
    made = book.producer("checkpoints", entry.checkpoint)
    method, options = trained_page(*made) if made else ("", {})
    if made is None or method not in {"", *METHODS}:
        return
    if not method:
        yield f"{where}.checkpoint: '{entry.checkpoint}' is imported weights, not a trained method."
    elif not has_method(METHODS[method], needed[0]):
        able = [name for name, target in METHODS.items() if has_method(target, needed[0])]
        yield (
            f"{where}.checkpoint: '{entry.checkpoint}' is trained by '{method}', which cannot {needed[1]}; "
            f"methods that can: {', '.join(able)}."
        )
    elif (switch := trait(METHODS[method], "switches", {}).get(needed[0])) and options.get(switch, 1) == 0:
        yield (
            f"{where}.checkpoint: '{entry.checkpoint}' is trained with {switch}: 0, so that it cannot "
            f"{needed[1]}. Give that a weight in train.{entry.checkpoint}.model."
        )


def keeping_problems(where: str, entry: Any) -> Iterator[str]:
    """Features are worth keeping of an encoder that does not learn, of views that come again."""
    if entry.settings.get("keep_features") is not True:
        return
    page, key = METHODS.get(entry.method, ""), f"{where}.settings.keep_features"
    past = [what for reads, what in PAST_FEATURES.items() if page and trait(page, reads)]
    if past:
        yield f"{key}: '{entry.method}' reads {past[0]} and not its backbone's features. Remedy: leave it out."
    elif page and "frozen" not in options_model(page).model_fields:
        yield f"{key}: '{entry.method}' has no option frozen, and its backbone learns. Remedy: leave it out."
    elif entry.model.get("frozen") is not True:
        yield f"{key}: the backbone learns. Remedy: model.frozen: true."
    if not entry.loader.get("views"):
        yield (
            f"{key}: each view of an image is new. Remedy: loader.views: 2, so that two views of each image come again "
            "and again."
        )


def trained_page(verb: str, entry: Any) -> tuple[str, Mapping[str, Any]]:
    """Method and options of the page in a checkpoint that ``verb`` makes; "" for weights of a backbone alone."""
    if verb == "train":
        return entry.method, entry.model
    official = OFFICIAL.get(entry.official or "")
    return (official.method, official.options) if official else ("", {})


def _role(verb: str, entry: Any) -> tuple[str, str] | None:
    for (owner, option, value), role in OPTION_ROLES.items():
        if owner == verb and entry.options.get(option) == value:
            return role
    if verb == "propagate_cams":
        return SPREAD_ROLES.get(trait(SPREADS.get(entry.spread), "reads"))
    return ROLES.get(verb)


def instance_problems(book: Book, where: str, entry: Any) -> Iterator[str]:
    """Objects are told apart by displacements, which only some networks learn, and after a walk over its links."""
    if getattr(entry, "instances", False) and trait(SPREADS.get(entry.spread), "reads") != "links":
        yield f"{where}.instances: needs `spread: random_walk`, found '{entry.spread}'."
        return
    made = book.producer("checkpoints", entry.checkpoint) if getattr(entry, "instances", False) else None
    method = trained_page(*made)[0] if made else ""
    if method in METHODS:
        able = [name for name, target in METHODS.items() if has_method(target, "displacements")]
        if method not in able:
            yield f"{where}.instances: '{method}' learns no displacements; methods that do: {', '.join(able)}."
