"""coco: COCO 2014 or 2017 as published, its masks painted from polygons and run lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.coco_images import unlisted
from pipeline.datasets.coco_json import Instances
from pipeline.datasets.coco_names import ids_apart
from pipeline.datasets.coco_notices import coco_notices
from pipeline.datasets.coco_shapes import INSTANCES, MASKS, Crowd, Sketch, paint
from pipeline.datasets.coco_split import Split, Tally
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.parallel import in_processes
from pipeline.problems.notices import first_of
from stages.prepare import Problem, id_problem

OWN_SPLITS = {"train": "train2014", "val": "val2014"}


def coco(
    root: str,
    *,
    splits: dict[str, str] = OWN_SPLITS,
    images: dict[str, str] | None = None,
    lists: dict[str, str] | None = None,
    classes: list[str] | None = None,
    crowd: Literal["void", "paint", "skip"] = "void",
    without_objects: Literal["keep", "skip"] = "keep",
    upright: bool = False,
    download: bool = False,
) -> Listing:
    """List COCO, and paint a mask for every image into the ground truth.

    An image's id is its number in twelve digits (other files than COCO's: the name; images that share a name are told
    apart by their folders, ``cam_1_img``, else by their suffix). A file is looked for by its path in the usual places,
    then by its last parts in all folders of ``root``, where it must be the only one that fits. Objects are painted in
    the order of the file, later ones over earlier ones, with pycocotools. Tags are the classes of an image's
    annotations, of any area, crowds included (as in ReCAM's code); ``annotate`` with ``source: masks`` takes what is
    left visible instead.
    Boxes come along where all annotations of an image are of one class and none is a crowd; others' are those of their
    instances, which are painted too. Annotations with a box and no segmentation are taken: an image that has no other
    gets no mask, and in one that has, the box is void.

    Args:
        root: folder with annotations/ and the images; relative to the project root. It must be there.
        splits: split name to the name in annotations/instances_NAME.json, or a JSON of that kind under ``root``.
        images: split name to the folder of its images under ``root``. None looks into NAME/, images/NAME/, images/ and
            the like, for the names in the JSON and for twelve digits.
        lists: split name to a text file, relative to the project root, with the images to take, one a line, in order
            (numbers, twelve digits or COCO's names); a split without one takes all.
        classes: names to keep, in the order of their new numbers; pixels of others become void. None keeps all 80 in
            the order of their category ids, numbered from 1 without gaps.
        crowd: regions that hold many objects of a class: "void", under the single objects; "paint", like any other
            object (the masks of HFPL's code); or "skip", background (ReCAM's code). To compare with published numbers,
            take what their code does.
        without_objects: "skip" leaves out images without an annotation of a kept class; of 2014 that leaves the 82,081
            and 40,137 images of the lists that much published work uses ("keep": 82,783 and 40,504).
        upright: apply the EXIF orientation of the images, for annotations that were drawn on upright photos, as most
            tools show them; COCO's own are of the pixels as stored.
        download: fetch what the splits need and ``root`` lacks (2014: 19 GB), where there is internet.

    Raises:
        ConfigurationError: unknown class or split.
        DataError: annotations or images that are missing or of another kind, or a failed download.
    """
    for name, named in (("images", images), ("lists", lists)):
        for split in named or {}:
            if split not in splits:
                raise ConfigurationError(f"coco: {name} has an unknown split '{split}'.{closest(split, splits)}")
    base = Path(root)
    if download:
        from pipeline.datasets.coco_download import fetch_annotations, fetch_images

        fetch_annotations(base, list(splits.values()))
    listed: dict[str, list[Listed]] = {}
    sketches: dict[str, Sketch] = {}
    problems: list[Problem] = []
    categories: dict[int, str] = {}
    tally = Tally()
    for split, name in splits.items():
        folder = (images or {}).get(split)
        read = Split.read(base, name, classes, folder)
        if download:
            fetch_images(base, name, folder, read.folders, list(read.image_names().values()))
        categories = _categories(read.content, categories, classes)
        listed[split] = read.list_all((lists or {}).get(split), without_objects == "skip", sketches, problems, tally)
        del read  # a gigabyte of the training split, before the next one is read
    names = tuple(classes) if classes is not None else tuple(categories.values())
    if not tally.annotations and not problems:
        raise DataError(f"{base}: expected annotations in the JSON of `splits`, found lists of images without any.")
    paths = [item.image for items in listed.values() for item in items]
    notices = coco_notices(tally, names, classes is not None, crowd, unlisted(base, paths, tally.others))
    named = ids_apart(paths)
    kept = tuple(range(1, len(names) + 1))
    drawn = _named(sketches, named)
    draw = partial(paint_all, sketches=list(drawn.values()), root=base, crowd=crowd, upright=upright)
    return Listing(
        base.as_posix(),
        names,
        {split: [_with_id(item, named[item.image], drawn) for item in items] for split, items in listed.items()},
        kept,
        len(names),
        [replace(bad, id=named.get(bad.id, bad.id)) for bad in problems],
        notices,
        upright,
        make=draw if drawn else None,
        truth_root=".",
    )


def _named(sketches: dict[str, Sketch], named: Mapping[str, str]) -> dict[str, Sketch]:
    """Sketches by id; an id that cannot be a file name is refused later, and nothing is written for it."""
    by_id = {named[path]: replace(sketch, id=named[path]) for path, sketch in sketches.items()}
    return {id: sketch for id, sketch in by_id.items() if id_problem(id, "") is None}


def _with_id(item: Listed, id: str, sketches: Mapping[str, Sketch]) -> Listed:
    if id not in sketches:
        return replace(item, id=id)
    return replace(item, id=id, mask=f"{MASKS}/{id}.png", instances=f"{INSTANCES}/{id}.png")


def _categories(content: Instances, others: dict[int, str], classes: list[str] | None) -> dict[int, str]:
    """The file's categories, which must be the other splits'; each name once, unless the user chose among them."""
    categories = content.categories
    if others and categories != others:
        differing = [id for id in sorted({*categories, *others}) if categories.get(id) != others.get(id)]
        first = differing[0]
        raise DataError(
            f"{content.path}: expected the categories of the other splits, found others: {len(differing)} differ, "
            f"such as id {first}: {categories.get(first, 'none')} here and {others.get(first, 'none')} there."
        )
    twice = [name for name, count in Counter(categories.values()).items() if count > 1]
    if twice and classes is None:
        ids = [str(id) for id, name in categories.items() if name == twice[0]]
        raise DataError(
            f"{content.path}: expected each category name once, found '{twice[0]}' for the ids {first_of(ids, 5)}. "
            f"`classes: [{', '.join(list(dict.fromkeys(categories.values()))[:20])}]` takes them as one class."
        )
    return categories


def paint_all(
    images: Path,
    truth: Path,
    workers: int,
    ids: Collection[str],
    *,
    sketches: Sequence[Sketch],
    root: Path,
    crowd: Crowd,
    upright: bool,
) -> list[Problem]:
    """Write masks/ and instances/ of ``ids`` under ``truth``; ``root`` is of the images."""
    for folder in (MASKS, INSTANCES):
        (truth / folder).mkdir()
    wanted = [sketch for sketch in sketches if sketch.id in ids]
    one = partial(paint, root=root, truth=truth, crowd=crowd, upright=upright)
    painted = in_processes(one, wanted, workers, "painting masks")
    return [problem for problems in painted for problem in problems]
