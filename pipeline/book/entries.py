"""What one entry of each section of params.yaml holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, StringConstraints

from pipeline.weights.prompts import Prompts

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
    """How the data set is read: a name of a reader."""
    root: Given
    """Where its files lie, relative to the project root. DVC watches it."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    """What a damaged image does: "stop" reports all of them and makes nothing, "skip" leaves them out and counts them.
    """
    limit: PositiveInt | None = None
    """Images of each split, the first ones; null for all. For a try of a book."""
    options: Options = {}
    """Of the reader."""


class AnnotateEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    split: str
    """Which of its splits is annotated."""
    kind: str
    """Which labels: a name of a kind of supervision."""
    options: Options = {}
    """Of the kind."""
    regions: Options | None = None
    """How each image is cut into regions, which become the supervision's segments; null for none."""
    fill_regions: bool = False
    """A region whose labelled pixels are of one class takes it whole: a click labels what it lies in."""


class ImportAnnotationsEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    split: str
    """Which of its splits is annotated."""
    kind: Literal["tags", "boxes", "points", "scribbles", "masks", "shapes", "mixture"]
    """Which labels of the file are taken; "shapes" are all that a labelling tool's export has, image by image."""
    file: Given
    """The annotations, relative to the project root. DVC watches it."""
    options: Options = {}
    """Of the kind."""
    regions: Options | None = None
    """As in ``annotate``."""
    fill_regions: bool = False
    """As in ``annotate``."""


class SecondEncoder(BaseModel):
    """Another encoder of images, whose weights a method with two encoders starts from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str
    """The backbone that the weights are of."""
    file: Annotated[str, StringConstraints(pattern=r"^[^/]+$")]
    """Its name in the folder ``file`` of the entry, which holds this file, the official network's, and nothing else."""


class ImportWeightsEntry(Entry):
    """Weights of a backbone (``architecture``), or a whole network that a paper published (``official``)."""

    architecture: str = ""
    """The backbone that the weights are of (``timm/NAME``: a network of timm), or "random" for none: training starts
    from scratch."""
    official: str | None = None
    """A published network, by its name; instead of ``architecture``."""
    classes: list[str] | None = None
    """Class names of an official network that was trained for neither VOC nor COCO; of ``clip_es``, which is told them,
    where they are not VOC's."""
    file: Given
    """The weights, relative to the project root: .pth, .pt, .npz or .safetensors; nothing in them is executed."""
    download: bool = False
    """Fetch the weights of the backbone's library instead of reading ``file``."""
    normalisation: Literal["imagenet", "half", "clip"] | None = None
    """How images are scaled for these weights: by ImageNet's mean and deviation, to [-1,1] (TensorFlow), or by CLIP's
    mean and deviation; null for what the published weights of the architecture expect.
    """
    untrained: bool = False
    """The official network with random weights; the file is not read. For a try of a book without its weights."""
    prompts: Prompts | None = None
    """The texts of a network that knows classes by texts (``clip_es``): templates, words of classes, background words.
    """
    second: SecondEncoder | None = None
    """A second encoder for ``weclip_plus``, beside an official network; ``file`` is then the folder of both files."""


class ImportProposalsEntry(Entry):
    """Class-agnostic masks, such as SAM's: they say what belongs together, and not what it is."""

    data: Name
    """The data set: an entry of ``prepare``."""
    split: str
    """Of which of its splits."""
    proposer: str
    """Where they come from: a name of a proposer."""
    file: Given
    """The masks, relative to the project root: a file, or a folder with one for each image. DVC watches it. Regions
    are made, not read: any file that is there, such as models/ops/oversegmentation.py.
    """
    seen: Literal["masks", "images", "nothing"] | None = None
    """What the proposer has learned from, for the tables: masks that people drew, images alone, or nothing; null takes
    what is usual (SAM and EntitySeg: masks; regions: nothing).
    """
    options: Options = {}
    """Of the proposer."""


class TrainEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    supervision: Name
    """What is learned from: an entry of ``annotate``, ``import_annotations``, ``make_pseudo_masks`` or
    ``overlay_labels``."""
    method: str
    """What is trained: a name of a method."""
    init: Name
    """The checkpoint that it starts from: an entry of ``import_weights`` or ``train``."""
    seed: NonNegativeInt = 0
    """Of the weights that start anew, of the order of images, and of every draw."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Of the network's arithmetic: float32, or mixed with bfloat16 or float16 (CUDA)."""
    model: Options = {}
    """Options of the method."""
    add_ons: dict[Name, Options] = {}
    """Losses around the method: name to options."""
    loader: Options = {}
    """How images become batches."""
    settings: Options = {}
    """How long to train, and with which optimiser."""


class ExportCamsEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    supervision: Name
    """Says which images, and which classes each shows."""
    checkpoint: Name
    """A trained method that localises, or an official network."""
    dtype: Literal["float16", "uint8"] = "float16"
    """How scores are stored: float16, or in 255 steps (half the bytes)."""
    boxes: bool = False
    """Stretch the maps within the boxes of the supervision, and drop what lies outside of them."""
    keep_labels: bool = False
    """Pixels that the supervision labels (clicks, strokes) have the score 1 for their class, and 0 for all others."""
    options: Options = {}
    """Scales, mirror images, the grid and the normalisation of the maps."""


class RefineCamsEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    cams: Name
    """What is refined: an entry of ``export_cams``, ``refine_cams``, ``propagate_cams``, ``align_cams`` or
    ``merge_cams``."""
    refiner: str
    """A name of a refiner."""
    dtype: Literal["float16", "uint8"] = "float16"
    """As in ``export_cams``."""
    options: Options = {}
    """Of the refiner."""


class PropagateCamsEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    cams: Name
    """What spreads: an entry of ``export_cams``, ``refine_cams``, ``propagate_cams``, ``align_cams`` or
    ``merge_cams``."""
    checkpoint: Name
    """A trained method that links pixels (affinity_net, boundary_net, spml), or an official one; with
    ``spread: transport`` any with a backbone.
    """
    spread: str = "random_walk"
    """How: ``random_walk`` over links, or ``transport``, by what features have in common with those of the seeds."""
    dtype: Literal["float16", "uint8"] = "float16"
    """As in ``export_cams``."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the network's arithmetic."""
    instances: bool = False
    """Also tell objects of a class apart, by the displacements that boundary_net has learned."""
    options: Options = {}
    """Of the walk, or of the transport."""


class AlignCamsEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    cams: Name
    """What is aligned: an entry of ``export_cams``, ``refine_cams``, ``propagate_cams``, ``align_cams`` or
    ``merge_cams``."""
    proposals: Name
    """The masks whose outlines it takes: an entry of ``import_proposals``."""
    aligner: str
    """A name of an aligner."""
    dtype: Literal["float16", "uint8"] = "float16"
    """As in ``export_cams``."""
    options: Options = {}
    """Of the aligner."""


class MergeCamsEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    cams: Name
    """The first of two: an entry of ``export_cams``, ``refine_cams``, ``propagate_cams``, ``align_cams`` or
    ``merge_cams``. Its images, grid and instances are kept."""
    other: Name
    """The second, which has at least the images of the first, with the same classes."""
    dtype: Literal["float16", "uint8"] = "float16"
    """As in ``export_cams``."""
    options: Options = {}
    """The share of the second in the mean."""


class MakePseudoMasksEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    cams: Name
    """Entry of ``export_cams``, ``refine_cams``, ``propagate_cams``, ``align_cams`` or ``merge_cams``."""
    rule: str
    """How the background is decided: a name of a rule."""
    options: Options = {}
    """Of the rule."""
    regions: Options | None = None
    """As in ``annotate``."""


class OverlayLabelsEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    supervision: Name
    """The lower labels, such as pseudo-masks: they say which images there are."""
    over: Name
    """The upper labels, such as masks that people corrected: where they say something, the lower ones do not count."""


class PredictMasksEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    split: str
    """Which of its splits is predicted."""
    checkpoint: Name
    """A trained method that segments, or an official one."""
    options: Options = {}
    """Scales, mirror images, and what is averaged."""
    crf: Options | None = None
    """A dense CRF on the probabilities; null for none."""


class ClassifyProposalsEntry(Entry):
    """A segmenter without training: a mask has the class of the labelled regions whose features are like its own."""

    data: Name
    """The data set: an entry of ``prepare``."""
    proposals: Name
    """The masks that are classified: an entry of ``import_proposals``. Its split is what is predicted."""
    supervision: Name
    """The labelled regions: an entry of ``make_pseudo_masks``, ``annotate`` or ``import_annotations``."""
    checkpoint: Name
    """The features: a trained method with a backbone."""
    options: Options = {}
    """Of the bank of regions and of the vote."""


class EvaluateEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    of: Annotated[str, StringConstraints(pattern=r"^(cams|supervision|masks)/[a-z0-9][a-z0-9_]*$")]
    """What is judged: ``cams/NAME``, ``supervision/NAME`` or ``masks/NAME``."""
    split: str | None = None
    """The images to judge, of those that there are; null for all (VOC: CAMs of train_aug are judged on train)."""
    options: Options = {}
    """Of the scores."""


class EvaluateBoxesEntry(Entry):
    data: Name
    """The data set: an entry of ``prepare``."""
    cams: Name
    """What is judged: entry of ``export_cams``, ``refine_cams``, ``propagate_cams``, ``align_cams`` or
    ``merge_cams``."""
    checkpoint: Name
    """The network that ranks the classes of an image."""
    options: Options = {}
    """Of the protocol."""
