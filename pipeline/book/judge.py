"""``judge:`` in an entry of a book.yaml: the evaluation of what the entry makes, and its places in the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import closest
from pipeline.book.artifacts import kind_of
from pipeline.book.published import COLUMNS
from pipeline.book.written import Path, Written

JUDGE = "judge"
COLUMN: dict[str, str] = {
    "annotate": "pseudo_masks",
    "import_annotations": "pseudo_masks",
    "export_cams": "cam",
    "refine_cams": "refined",
    "propagate_cams": "refined",
    "align_cams": "refined",
    "merge_cams": "refined",
    "make_pseudo_masks": "pseudo_masks",
    "overlay_labels": "pseudo_masks",
    "predict_masks": "val",
    "classify_proposals": "val",
}
"""Verbs whose entries may have ``judge:``, and the column of a recipe that shows their evaluation."""

KEYS = ("name", "split", "options", "row", "column", "label", "published", "mean")
MEAN_KEYS = ("key", "label")


@dataclass(frozen=True)
class Judgement:
    """One evaluation that ``judge:`` asks for.

    Attributes:
        name: of the evaluation.
        entry: what stands under ``evaluate:``.
        place: where the book says so.
        row: the key of a row of ``table.recipes``; "" for none.
        column: the column of that row.
        facts: ``label`` and ``published`` of the row, as far as they are given.
        mean: the key of a row of ``table.repeats``; "" for none.
        mean_label: the label of that row; "" for none.
    """

    name: str
    entry: Mapping[str, Any]
    place: Path
    row: str = ""
    column: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    mean: str = ""
    mean_label: str = ""


def judgements(written: Written, verb: str, name: str, entry: Mapping[str, Any], path: Path) -> Iterator[Judgement]:
    """The evaluations that an entry asks for.

    Args:
        entry: with its ``judge:``, placeholders replaced.
        path: where the entry stands.

    Raises:
        ConfigurationError: a verb whose entries are not judged, an unknown key, a value of the wrong type.
    """
    given, place = entry[JUDGE], (*path, JUDGE)
    if verb not in COLUMN:
        raise written.error(
            place, f"{JUDGE}: {verb} makes nothing to judge. Entries that may have it: {', '.join(COLUMN)}."
        )
    if not isinstance(given, list):
        yield from _judged(written, verb, name, entry, given, place)
        return
    for number, one in enumerate(given):
        yield from _judged(written, verb, name, entry, one, (*place, str(number)))


def _judged(
    written: Written, verb: str, name: str, entry: Mapping[str, Any], given: Any, place: Path
) -> Iterator[Judgement]:
    if given is False:
        return
    if given is True:
        given = {}
    elif isinstance(given, str):
        given = {"name": given}
    elif not isinstance(given, dict):
        raise written.error(
            place, f"{JUDGE}: expected true, the evaluation's name, or keys ({', '.join(KEYS)}), found {given!r:.60}."
        )
    written.require_keys(given, KEYS, place)
    texts = {key: _text(written, given, key, place) for key in ("name", "row", "column", "label", "published")}
    mean, mean_label = _mean(written, given, place)
    if texts["label"] and not texts["row"]:
        mean_label = mean_label or texts["label"]
    _require_homes(written, given, texts["row"], mean, place)
    own = {"data": entry["data"]} if "data" in entry else {}
    evaluation = own | {"of": f"{kind_of(verb)}/{name}"}
    yield Judgement(
        name=texts["name"] or (f"{name}_{entry.get('split')}" if verb == "predict_masks" else name),
        entry=evaluation | {key: given[key] for key in ("split", "options") if key in given},
        place=place,
        row=texts["row"],
        column=_column(written, verb, entry, texts["column"], place),
        facts={key: texts[key] for key in ("label", "published") if texts[key]} if texts["row"] else {},
        mean=mean,
        mean_label=mean_label,
    )


def _text(written: Written, given: Mapping[str, Any], key: str, place: Path) -> str:
    """A word under a key; a number counts as one, as a placeholder may stand for it. "" where the key is not there."""
    if key not in given:
        return ""
    value = given[key]
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise written.error((*place, key), f"{JUDGE}.{key}: expected a word, found {value!r:.60}.")
    return str(value)


def _mean(written: Written, given: Mapping[str, Any], place: Path) -> tuple[str, str]:
    """Key and label of the row of means."""
    if not isinstance(given.get("mean"), dict):
        return _text(written, given, "mean", place), ""
    mean, below = given["mean"], (*place, "mean")
    written.require_keys(mean, MEAN_KEYS, below)
    if "key" not in mean:
        raise written.error(below, f"{JUDGE}.mean: expected `key:`, the row of table.repeats, found none.")
    return _text(written, mean, "key", below), _text(written, mean, "label", below)


def _require_homes(written: Written, given: Mapping[str, Any], row: str, mean: str, place: Path) -> None:
    """What describes a row needs one."""
    for key in ("column", "published", "label"):
        if key in given and not row and not (key == "label" and mean):
            needed = "`row:` or `mean:`" if key == "label" else "`row:`"
            raise written.error((*place, key), f"{JUDGE}.{key}: expected {needed} beside it, found none.")


def _column(written: Written, verb: str, entry: Mapping[str, Any], given: str, place: Path) -> str:
    if given and given not in COLUMNS:
        raise written.error((*place, "column"), f"{JUDGE}: unknown column '{given}'.{closest(given, COLUMNS)}")
    if given:
        return given
    return "val_crf" if verb == "predict_masks" and entry.get("crf") is not None else COLUMN[verb]
