"""Write a recipe book for a user's folder, link what it reads, and check that it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from models.backbones import BACKBONES
from models.errors import ConfigurationError, DataError, Weak2MaskError, closest
from pipeline.book.agreement import SOURCE
from pipeline.compute.project import MARK, is_checkout
from pipeline.new_book.archive import is_archive, unpack_archive
from pipeline.new_book.embedded import unpack_images
from pipeline.new_book.expanding import expand_book
from pipeline.new_book.names import slug, slugs
from pipeline.new_book.place import RECIPES, free_place, usual_folder, write_book
from pipeline.new_book.plan import STYLES, BookPlan, Style, minutes, plan_book
from pipeline.new_book.project import make_project
from pipeline.new_book.survey import Survey, survey
from pipeline.new_book.template import render
from pipeline.new_book.tool_exports import LABEL_OPTIONS, has_images, located
from pipeline.storage.whole import remove

RANDOM = "random"
READER_OPTIONS = ("classes", "mask_values", "labelmap", "upright")
"""What a folder does not say by itself."""
CACHE_BYTES = 1_500_000_000
"""Training images that decode to less are kept in memory."""


@dataclass(frozen=True)
class NewBook:
    """A book that was written."""

    path: str
    survey: Survey
    plan: BookPlan
    minutes: int
    device: str
    new_project: str = ""
    """The folder that was made a project for it; empty where it was one."""


def init(
    data: Path,
    book: str | None = None,
    style: Style | None = None,
    weights: str | None = None,
    normalisation: Literal["imagenet", "half"] = "imagenet",
    options: Mapping[str, Any] | None = None,
) -> NewBook:
    """Write ``recipes/NAME`` for the folder ``data``; nothing is left behind when it does not work out.

    Outside of any project, the current folder is made one first (:mod:`pipeline.new_book.project`).

    Args:
        data: images, a CSV of tags, and whatever else :func:`pipeline.new_book.survey.survey` knows; or the file of an
            export of a labelling tool, whose images lie in its folder or above; or a ZIP archive of images and labels,
            which is unpacked into ``data/NAME_unpacked``.
        book: the book's folder; by default ``recipes/`` and the folder's name.
        style: key of :data:`STYLES`; by default "small" on a CPU, "default" on a GPU.
        weights: file to start from, or "random"; by default torchvision's are downloaded now.
        normalisation: what the weights of a file expect of their input.
        options: of the reader and of exports: keys of :data:`READER_OPTIONS` and :data:`LABEL_OPTIONS`.

    Raises:
        ConfigurationError: an unknown option or value, a subfolder of a project, a book or its work folder that is
            there.
        DataError: what is wrong with the folder, or with the weights.
    """
    made: list[Path] = []
    try:
        return _init(data, book, style, weights, normalisation, options or {}, made)
    except BaseException:
        for path in reversed(made):
            remove(path)
        raise


def _init(
    data: Path,
    book: str | None,
    style: Style | None,
    weights: str | None,
    normalisation: Literal["imagenet", "half"],
    options: Mapping[str, Any],
    made: list[Path],
) -> NewBook:
    """:func:`init`; what it makes is added to ``made``."""
    from pipeline.compute.runtime import device, is_fast_in_bfloat16, workers

    _check_options(options)
    archive = data if is_archive(data) else None
    data, file = located(data) if archive is None else (data, None)
    make_project(data, made)
    usual = usual_folder(data.resolve()) if archive is None else RECIPES / slug(data.resolve().stem)
    folder = Path(book) if book else usual
    new_project = str(Path.cwd()) if made else ""
    name = free_place(folder, "with --book")
    if archive is not None:
        data = unpack_archive(archive, Path("data") / f"{name}_unpacked", made)
    elif file is None and data.is_dir() and not has_images(data):
        data = unpack_images(data, Path("data") / f"{name}_unpacked", made) or data
    survey = _survey(data, options, file)
    machine = device()
    gpu = machine != "cpu"
    chosen_style: Style = style or ("default" if gpu else "small")
    backbone = _backbone(weights, STYLES[chosen_style].backbone, normalisation)
    half = not gpu and is_fast_in_bfloat16(machine)
    chosen = plan_book(survey, chosen_style, backbone, pretrained=weights != RANDOM, half=half)
    source, variable = _source(data, name, made)
    start = _weights_file(weights, name, made)
    text = _text(folder, name, data, survey, chosen, source, variable, start, normalisation)
    made.append(folder)
    write_book(folder, text, SOURCE)
    _require_sound(folder)
    about = minutes(survey, chosen, max(1, workers()), gpu)
    return NewBook(folder.as_posix(), survey, chosen, about, machine, new_project)


def reader_options(lines: Sequence[str]) -> dict[str, Any]:
    """``NAME: VALUE`` as YAML has it, so that the line of a message can be given as it is.

    Raises:
        ConfigurationError: a line of another form.
    """

    options: dict[str, Any] = {}
    for line in lines:
        try:
            parsed = yaml.safe_load(line)
        except yaml.YAMLError:
            parsed = None
        if not isinstance(parsed, dict):
            raise ConfigurationError(f"--option: expected 'NAME: VALUE', such as 'upright: false', found '{line}'.")
        options |= parsed
    return options


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse unknown names and values (ConfigurationError) as ``check`` does in a book."""
    from pipeline.annotations import ANNOTATORS
    from pipeline.book.params import explain
    from pipeline.book.signatures import options_model
    from pipeline.datasets import READERS

    known = (*READER_OPTIONS, *LABEL_OPTIONS)
    for name in options:
        if name not in known:
            raise ConfigurationError(f"--option: unknown '{name}'.{closest(name, known)}")
    for target, names in ((READERS["folder"], READER_OPTIONS), (ANNOTATORS["shapes"], LABEL_OPTIONS)):
        model = options_model(target)
        try:
            model.model_validate({name: options[name] for name in names if name in options})
        except ValidationError as error:
            raise ConfigurationError("\n".join(f"--option {line.strip()}" for line in explain(error, model))) from None


def _survey(data: Path, options: Mapping[str, Any], file: Path | None) -> Survey:
    """The survey; where a remedy is an option of the reader or of an export, an error says how to give it."""
    try:
        return survey(data, options, file)
    except DataError as error:
        named = re.search(rf"`({'|'.join((*READER_OPTIONS, *LABEL_OPTIONS))})\b([^`]*)`", str(error))
        if named is None:
            raise
        value = named[2] or (": labelmap.txt" if named[1] == "labelmap" else ": ...")
        remedy = f"init takes such an option with --option, as in --option '{named[1]}{value}'."
        raise DataError(f"{error}\n{remedy}") from None


def _source(data: Path, name: str, made: list[Path]) -> tuple[str, str]:
    """Project-relative path of the data, linked if it lies outside, and the variable that may name it elsewhere."""
    root = Path.cwd().resolve()
    if data.resolve().is_relative_to(root):
        return data.resolve().relative_to(root).as_posix(), ""
    source = Path("data") / name
    _link(source, data, made)
    return source.as_posix(), f"WEAK2MASK_DATA_{name.upper()}"


def _link(source: Path, target: Path, made: list[Path]) -> None:
    from pipeline.book.links import make_link

    if source.is_symlink() or source.exists():
        if source.resolve() != target.resolve():
            raise ConfigurationError(f"{source} is there already, for another book. Name another with --book.")
        return
    make_link(source, target)
    made.append(source)


def _backbone(weights: str | None, preferred: str, normalisation: Literal["imagenet", "half"]) -> str:
    """The backbone that the weights are for; they are read now, so that what is wrong with them is said now."""
    from pipeline.weights.pretrained import import_weights

    if weights == RANDOM:
        return preferred
    if weights is None:
        try:
            import_weights(preferred, Path(), download=True)
        except DataError as error:
            reason = str(error).partition(" Remedy:")[0]
            raise DataError(f"{reason} Remedy: name a local file with --weights FILE, or 'random'.") from None
        return preferred
    problems: list[Weak2MaskError] = []
    for backbone in sorted(BACKBONES, key=lambda name: name != preferred):
        try:
            import_weights(backbone, Path(weights), False, normalisation)
            return backbone
        except (ConfigurationError, DataError) as error:  # also a backbone whose extra is not installed
            problems.append(error)
    raise problems[0]


def _weights_file(weights: str | None, name: str, made: list[Path]) -> str:
    """Project-relative path of a weights file, linked if it lies outside; "random"; or "" to download."""
    if weights in (None, RANDOM):
        return weights or ""
    path = Path(str(weights)).resolve()
    if path.is_relative_to(Path.cwd().resolve()):
        return path.relative_to(Path.cwd().resolve()).as_posix()
    source = Path("data") / f"{name}_weights{path.suffix}"
    _link(source, path, made)
    return source.as_posix()


def _text(
    folder: Path,
    name: str,
    data: Path,
    survey: Survey,
    chosen: BookPlan,
    source: str,
    variable: str,
    weights: str,
    normalisation: str,
) -> str:
    refined = f"options: {{scales: {list(chosen.scales)}, flip: true}}, crf: {{preset: irn}}"
    plain = f"options: {{scales: {list(chosen.scales)}}}"
    values: dict[str, Any] = {
        "survey": survey,
        "plan": chosen,
        "path": folder.as_posix(),
        "root": os.path.relpath(".", folder),
        "name": name,
        "title": data.resolve().name,
        "source": source,
        "variable": variable,
        "weights": weights,
        "placeholder": "pyproject.toml" if is_checkout(Path()) else MARK.as_posix(),
        "normalisation": normalisation,
        "labels": "tags" if survey.tags else next(iter(survey.annotations), "tags"),
        "marked": next(iter(survey.drawn), ""),
        "how": refined if chosen.thorough else plain,
        "measured": survey.measured if survey.masks else (),
        "cached": ", cache: true" if survey.train * survey.size[0] * survey.size[1] * 3 < CACHE_BYTES else "",
        "entries": slugs(survey.splits),
    }
    return render(values)


def _require_sound(folder: Path) -> None:
    """What the book says must hold; its params.yaml is written."""
    from pipeline.book.check import check
    from pipeline.book.check_inputs import check_files
    from pipeline.book.params import load_book

    try:
        expand_book(folder.as_posix())
        book = load_book(folder)
        check(book)
        check_files(book)
    except ConfigurationError as error:
        raise Weak2MaskError(
            f"The book that was to be written does not hold. This is a bug: report it. {error}"
        ) from error
