"""Which file of a folder of masks belongs to which image: by name, or by one rule that all names follow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import DataError
from pipeline.datasets.file_names import nearest_name, nfc, shown, without_suffix
from pipeline.datasets.folder_images import files_below
from pipeline.datasets.images import LABELMAP
from pipeline.problems.notices import Notice, first_of
from stages.prepare import Problem

EXACT = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Files that keep every value, the documented kind first."""
LOSSY = (".jpg", ".jpeg", ".webp")
_WORD = (
    r"(?:instance|semantic|class|gt|gtfine|label|seg|color)?[ _.-]?"
    r"(?:masks?|labels?|label(?:train)?ids|seg|segm|segmentation|segmentationclass|gt|groundtruth|ground_truth|"
    r"annotations?|anno|ann|target|matte|l|1stho|manual1)"
)
_BEFORE = re.compile(rf"({_WORD}[ _.-]+)(?=.)", re.IGNORECASE)
_BEHIND = re.compile(rf"(?<=.)([ _.-]+{_WORD}|(?<=\w)(?:mask|label))$", re.IGNORECASE)


@dataclass(frozen=True)
class NamingRule:
    """How a mask is called after its image: what stands before and behind, and whether folders count."""

    before: str = ""
    behind: str = ""
    flat: bool = False
    capitals: bool = True

    def __str__(self) -> str:
        place = "in another folder" if self.flat else ""
        name = f"{self.before}NAME{self.behind}" if self.before or self.behind else ""
        return " ".join(filter(None, (name, place, "" if self.capitals else "in other capitals")))


PLAIN = NamingRule()


@dataclass(frozen=True)
class MaskFiles:
    """The masks of a folder of images.

    Attributes:
        of: id to the mask's path, relative to the folder of masks.
        problems: images with several files.
        notices: files that belong to no image, and names that are not as documented.
    """

    of: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def mask_files(place: Path, images: Mapping[str, str]) -> MaskFiles:
    """Find the mask of each image.

    A mask is called as its image, with the suffix of a lossless format, and lies in the same subfolder, or is called
    as the id. Where most files are not, one other rule counts (``NAME_mask.png``) if it leaves no image with two files.

    Args:
        place: the folder of masks.
        images: id to path, relative to the folder of images.

    Raises:
        DataError: no such folder; no file belongs to an image; two rules fit equally well; or masks in a lossy format.
    """
    if not place.is_dir():
        raise DataError(f"{place}: expected a folder, found none. Set `images` and `masks` to their names.")
    files = sorted(path for path in files_below(place) if path.rpartition("/")[2] != LABELMAP)
    masks = [path for path in files if path.lower().endswith((*EXACT, *LOSSY))]
    if not masks:
        found = first_of([shown(path) for path in files]) or "no file"
        text = f"{place}: expected a mask (ID.png) for each image to be measured, found {found}: no image has a mask."
        return MaskFiles(notices=[Notice("masks_missing", 0, text)])
    claims = _claims(masks, images)
    rule = _rule(place, claims)
    taken = {**claims[rule], **claims.get(PLAIN, {})} if rule is not None else {}
    chosen = {id: _chosen(paths) for id, paths in taken.items()}
    _require_lossless(place, [path for paths in chosen.values() for path in paths[:1]])
    used = {path for paths in chosen.values() for path in paths}
    strangers = [path for path in masks if path not in used]
    if not chosen:
        raise DataError(_none(place, masks, images))
    problems = [
        Problem(id, str(place), f"one mask file for image '{id}'", ", ".join(shown(path) for path in paths))
        for id, paths in chosen.items()
        if len(paths) > 1
    ]
    of = {id: paths[0] for id, paths in chosen.items()}
    notices = [*_otherwise(place, rule or PLAIN, of, images), *_strangers(place, strangers, len(masks), images)]
    return MaskFiles(of, problems, [*notices, *_others(place, files, masks)])


def _claims(masks: Sequence[str], images: Mapping[str, str]) -> dict[NamingRule, dict[str, list[str]]]:
    """For each rule the images that files are called after: rule -> id -> files."""
    full = {nfc(without_suffix(path)): id for id, path in images.items()}
    full.update({id: id for id in images})
    folded = _only({name: name.casefold() for name in full}, full)
    last = _only({name: name.rpartition("/")[2] for name in full}, full)
    claims: dict[NamingRule, dict[str, list[str]]] = {}
    for path in masks:
        for rule, name in _readings(nfc(path.rpartition(".")[0])):
            names = last if rule.flat else full if rule.capitals else folded
            id = names.get(name if rule.capitals else name.casefold())
            if id is not None:
                claims.setdefault(rule, {}).setdefault(id, []).append(path)
                break
    return claims


def _only(keys: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, str]:
    """Key to id, where it means one image."""
    meant: dict[str, set[str]] = {}
    for name, key in keys.items():
        meant.setdefault(key, set()).add(ids[name])
    return {key: next(iter(images)) for key, images in meant.items() if len(images) == 1}


def _readings(name: str) -> Iterator[tuple[NamingRule, str]]:
    """Rules that a mask's name (without its suffix) may follow, the plainest first, with the image's name then."""
    folder, slash, last = name.rpartition("/")
    stripped = list(_stripped(last))
    for flat, capitals in ((False, True), (True, True), (False, False)):
        for before, core, behind in stripped:
            yield NamingRule(before, behind, flat, capitals), core if flat else f"{folder}{slash}{core}"


def _stripped(last: str) -> Iterator[tuple[str, str, str]]:
    """A name as it is, and without the words of masks before and behind it."""
    yield "", last, ""
    cut = without_suffix(last)
    if cut != last:
        yield "", cut, last[len(cut) :]
    core = last
    while (behind := _BEHIND.search(core)) is not None:
        core = core[: behind.start()]
        cut = without_suffix(core)
        yield "", cut, last[len(cut) :]
    if (before := _BEFORE.match(last)) is not None:
        yield before[0], last[before.end() :], ""


def _rule(place: Path, claims: Mapping[NamingRule, Mapping[str, Sequence[str]]]) -> NamingRule | None:
    """The rule that most images' masks follow; the plain one where it is as good as any."""
    ranked = sorted(claims, key=lambda rule: (-len(claims[rule]), rule != PLAIN, str(rule)))
    if not ranked:
        return None
    best = ranked[0]
    for other in ranked[1:]:
        if best != PLAIN and other != PLAIN and len(claims[other]) == len(claims[best]):
            one, two = (next(iter(claims[rule].values()))[0] for rule in (best, other))
            raise DataError(
                f"{place}: expected a mask ID.png for each image, found two rules of {len(claims[best])} images each, "
                f"such as {shown(one)} and {shown(two)}. Remedy: leave the masks of classes alone in this folder."
            )
    return best


def _chosen(paths: Sequence[str]) -> list[str]:
    """Of several files of one image: the PNG, else the lossless ones, else all."""
    for wanted in ((".png",), EXACT):
        chosen = [path for path in paths if path.endswith(wanted) or (wanted != (".png",) and _is_exact(path))]
        if chosen:
            return chosen
    return list(paths)


def _is_exact(path: str) -> bool:
    return path.lower().endswith(EXACT)


def _require_lossless(place: Path, paths: Sequence[str]) -> None:
    lossy = [path for path in paths if not _is_exact(path)]
    if lossy:
        raise DataError(
            f"{place}: expected masks in a format that keeps every value (PNG), found {len(lossy)} JPEG or WebP files "
            f"({first_of([shown(path) for path in lossy])}): their values are smeared along the borders of objects. "
            "Remedy: export the masks again, as PNG; converting these files does not bring the values back."
        )


def _none(place: Path, masks: Sequence[str], images: Mapping[str, str]) -> str:
    files = "file" if len(masks) == 1 else "files"
    return (
        f"{place}: none of the {len(masks)} {files} of masks belongs to an image: {_named(masks, images)}. Remedy: "
        "call each mask as its image, ID.png (a mask of s0.jpg is s0.png), or leave the folder of masks out."
    )


def _named(paths: Sequence[str], images: Mapping[str, str]) -> str:
    """The first files, each with the image that is called most like it."""
    names = {nfc(without_suffix(path)) for path in images.values()}
    sides = []
    for path in paths[:3]:
        near = nearest_name(nfc(without_suffix(path)), names)
        sides.append(shown(path) + (f" (nearest image: {near})" if near else ""))
    return first_of([*sides, *paths[3:]])


def _otherwise(place: Path, rule: NamingRule, masks: Mapping[str, str], images: Mapping[str, str]) -> Iterator[Notice]:
    """Names that are taken though they are not as documented."""
    if rule != PLAIN:
        id, path = next((id, path) for id, path in masks.items() if path.rpartition(".")[0] != id)
        text = (
            f"{len(masks)} masks of {place} are called otherwise than their images, by one rule ({rule}), and are "
            f"taken: {shown(path)} for {shown(images[id])}."
        )
        yield Notice("masks_called_otherwise", len(masks), text)
    suffixes = Counter(f".{path.rpartition('.')[2]}" for path in masks.values() if not path.endswith(".png"))
    if suffixes:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(suffixes.items()))
        count = suffixes.total()
        text = f"{count} of {len(masks)} masks of {place} have another suffix than .png and are taken: {kinds}."
        yield Notice("masks_of_other_suffix", count, text)


def _strangers(place: Path, paths: Sequence[str], total: int, images: Mapping[str, str]) -> Iterator[Notice]:
    if paths:
        text = (
            f"{len(paths)} of {total} files of {place} belong to no image, or are a second one of an image, and are "
            f"not used: {_named(paths, images)}. Remedy: call each mask as its image, ID.png."
        )
        yield Notice("masks_without_image", len(paths), text)


def _others(place: Path, files: Sequence[str], masks: Sequence[str]) -> Iterator[Notice]:
    others = sorted({*files} - {*masks})
    if others:
        text = (
            f"{len(others)} files of {place} are no images and are passed over: {first_of([shown(p) for p in others])}."
        )
        yield Notice("files_beside_masks", len(others), text)


def coverage(splits: Mapping[str, Mapping[str, bool]]) -> Iterator[Notice]:
    """Splits of which some images have a mask and some do not, which keeps the split from being measured.

    Args:
        splits: name -> id -> whether the image has a mask.
    """
    for name, masked in splits.items():
        without = [id for id, has in masked.items() if not has]
        if without and len(without) < len(masked):
            verb = "has" if len(without) == 1 else "have"
            text = (
                f"{name} is not measured: {len(without)} of {len(masked)} images {verb} no mask ({first_of(without)})."
            )
            yield Notice("images_without_mask", len(without), f"{text} A split is measured if all its images have one.")
