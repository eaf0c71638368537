"""What one entry of each section of params.yaml holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
"""Names become file names, DVC stage names and Prefect keys: lower case, digits, underscores."""

Given = Annotated[str, StringConstraints(min_length=1)]
"""A name or a path that may not be empty."""

Options = dict[str, Any]


class Entry(BaseModel):
    """One entry of a section of params.yaml: one DVC stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PrepareEntry(Entry):
    reader: str
    root: Given
    on_bad_image: Literal["stop", "skip"] = "stop"
    limit: PositiveInt | None = None
    """Images of each split, the first ones; null for all. For a try of a book."""
    options: Options = {}


class AnnotateEntry(Entry):
    data: Name
    split: str
    kind: str
    options: Options = {}
    regions: Options | None = None
    """How each image is cut into regions, which become the supervision's segments; null for none."""
    fill_regions: bool = False
    """A region whose labelled pixels are of one class takes it whole: a click labels what it lies in."""


class ImportAnnotationsEntry(Entry):
    data: Name
    split: str
    kind: Literal["boxes", "points", "scribbles"]
    file: Given
    options: Options = {}
    regions: Options | None = None
    fill_regions: bool = False


class ImportWeightsEntry(Entry):
    """Weights of a backbone (``architecture``), or a whole network that a paper published (``official``)."""

    architecture: str = ""
    official: str | None = None
    classes: list[str] | None = None
    """Class names of an official network that was trained for neither VOC nor COCO."""
    file: Given
    download: bool = False
    normalisation: Literal["imagenet", "half"] = "imagenet"
    untrained: bool = False
    """The official network with random weights; the file is not read. For a try of a book without its weights."""


class TrainEntry(Entry):
    data: Name
    supervision: Name
    method: str
    init: Name
    seed: NonNegativeInt = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    model: Options = {}
    add_ons: dict[Name, Options] = {}
    loader: Options = {}
    settings: Options = {}


class ExportCamsEntry(Entry):
    data: Name
    supervision: Name
    checkpoint: Name
    dtype: Literal["float16", "uint8"] = "float16"
    boxes: bool = False
    """Stretch the maps within the boxes of the supervision, and drop what lies outside of them."""
    keep_labels: bool = False
    """Pixels that the supervision labels (clicks, strokes) have the score 1 for their class, and 0 for all others."""
    options: Options = {}


class RefineCamsEntry(Entry):
    data: Name
    cams: Name
    refiner: str
    dtype: Literal["float16", "uint8"] = "float16"
    options: Options = {}


class PropagateCamsEntry(Entry):
    data: Name
    cams: Name
    checkpoint: Name
    dtype: Literal["float16", "uint8"] = "float16"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    instances: bool = False
    options: Options = {}


class MakePseudoMasksEntry(Entry):
    data: Name
    cams: Name
    rule: str
    options: Options = {}
    regions: Options | None = None


class PredictMasksEntry(Entry):
    data: Name
    split: str
    checkpoint: Name
    options: Options = {}
    crf: Options | None = None


class EvaluateEntry(Entry):
    data: Name
    of: Annotated[str, StringConstraints(pattern=r"^(cams|supervision|masks)/[a-z0-9][a-z0-9_]*$")]
    split: str | None = None
    """The images to judge, of those that there are; null for all (VOC: CAMs of train_aug are judged on train)."""
    options: Options = {}


class EvaluateBoxesEntry(Entry):
    data: Name
    cams: Name
    checkpoint: Name
    options: Options = {}


class RecipeRow(Entry):
    """One recipe in the table of a paper: an evaluation for each column, and the published method beside it.

    A column that is not named is found through the graph from those that are (``pipeline.results.tables.recipes``).
    """

    label: str = ""
    cam: Name | None = None
    refined: Name | None = None
    pseudo_masks: Name | None = None
    val: Name | None = None
    val_crf: Name | None = None
    published: Name | None = None


class RepeatsRow(Entry):
    """Evaluations of one recipe under several seeds, shown as mean and spread."""

    label: str = ""
    of: Annotated[list[Name], Field(min_length=1)]


class TableSettings(Entry):
    """The results tables; ``bound`` names the evaluation that counts as full supervision.

    Without ``recipes`` there is a row for each segmenter, and for whatever else is evaluated.
    """

    title: str = ""
    bound: Name | None = None
    recipes: dict[Name, RecipeRow] = {}
    repeats: dict[Name, RepeatsRow] = {}


class BookSettings(Entry):
    root: Given
    path: Given
    params: Given
    work: Given
    targets: list[str] = []
    """What ``run`` and ``flow`` make when no stage is named; empty for all (which is what ``dvc repro`` makes)."""
    sources: dict[str, str] = {}
    """Project-relative path of an input that lies outside -> environment variable that may name it."""
