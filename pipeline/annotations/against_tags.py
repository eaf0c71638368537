"""Whether annotations and the published tags of the same images agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice, first_of


def tag_notices(
    source: str, what: str, classes: Mapping[str, Collection[int]], catalogue: Catalogue, ids: Sequence[str]
) -> Iterator[Notice]:
    """One notice for classes that are tagged and not annotated, and one for the reverse.

    Args:
        source: file or folder of the annotations, for messages.
        what: of which kind they are: "boxes", "points", "scribbles".
        classes: id -> classes 1..C that are annotated in the image.
        catalogue: with the tags; images without tags are not compared.
        ids: the images that were annotated.
    """
    tagged = {id: set(tags) for id in ids if (tags := catalogue.entry(id).tags) is not None}
    braced = source.replace("{", "{{").replace("}", "}}")
    lacking = {id: tags - set(classes.get(id, ())) for id, tags in tagged.items()}
    surplus = {id: set(classes.get(id, ())) - tags for id, tags in tagged.items()}
    if any(lacking.values()):
        never = set().union(*tagged.values()) - set().union(*(classes.get(id, ()) for id in tagged))
        names = [catalogue.class_names[number - 1] for number in sorted(never)]
        text = f"{braced}: {{}} images with tags have a tag but no {what} of a class: {{}}."
        text += f" No image has {what} of {first_of(names, 10)}." if names else ""
        yield _notice("tagged_without_annotation", text, lacking, catalogue)
    if any(surplus.values()):
        text = f"{braced}: {{}} images with tags have {what} but no tag of a class (which is added): {{}}."
        yield _notice("annotated_without_tag", text, surplus, catalogue)


def _notice(topic: str, text: str, by_id: Mapping[str, set[int]], catalogue: Catalogue) -> Notice:
    images = [id for id, classes in by_id.items() if classes]
    counts = Counter(number for classes in by_id.values() for number in classes)
    classes = [f"{catalogue.class_names[number - 1]} ({count})" for number, count in counts.most_common()]
    shown = text.format(f"{len(images)} of {len(by_id)}", f"{first_of(classes, 5)}; such as {first_of(images)}")
    return Notice(topic, len(images), shown)
