"""The published numbers that a recipe is put beside: ``published.yaml``, each number with its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pipeline.book.yaml_text import parse_yaml

Column = Literal["cam", "refined", "pseudo_masks", "val", "val_crf"]
"""What is measured along a recipe; the columns of the recipe table."""

COLUMNS: dict[Column, str] = {
    "cam": "CAM",
    "refined": "refined CAM",
    "pseudo_masks": "pseudo-masks",
    "val": "prediction, no CRF",
    "val_crf": "prediction, CRF",
}
Text = Annotated[str, StringConstraints(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedNumber(_Strict):
    """mIoU in percent on a split, where it can be read, and what that place leaves open."""

    value: Annotated[float, Field(ge=0, le=100)]
    split: Text
    source: Text
    note: str = ""


class PublishedMethod(_Strict):
    """One method on one data set; columns without a reliable source are not there."""

    method: Text
    paper: Text
    network: Text
    data: Text
    numbers: dict[Column, PublishedNumber]


class Published(_Strict):
    """Everything in ``published.yaml``."""

    data_sets: dict[str, Text]
    methods: dict[str, PublishedMethod]

    @model_validator(mode="after")
    def _data_sets_are_named(self) -> Published:
        unknown = {key: entry.data for key, entry in self.methods.items() if entry.data not in self.data_sets}
        if unknown:
            raise ValueError(f"data sets that are not under data_sets: {unknown}")
        return self

    def data_set(self, key: str) -> str:
        """The name of the data set of a method's numbers: "VOC 2012"."""
        return self.data_sets[self.methods[key].data]


@cache
def published() -> Published:
    """The numbers that come with the project, validated (pydantic's ValidationError where the file is wrong)."""
    path = Path(__file__).with_name("published.yaml")
    return Published.model_validate(parse_yaml(path.read_text(encoding="utf-8")))
