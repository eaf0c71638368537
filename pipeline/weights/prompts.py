"""Prompts: the texts by which a network that has learned from captions knows the classes of a book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, StringConstraints
from pydantic_core import PydanticCustomError

from models.errors import ConfigurationError, closest
from pipeline.datasets.class_names import VOC_CLASSES


def _with_one_place(template: str) -> str:
    if template.count("{}") != 1 or template.count("{") != 1 or template.count("}") != 1:
        raise PydanticCustomError("template", "expected a text with one {} where the words go")
    return template


Text = Annotated[str, StringConstraints(min_length=1)]
Template = Annotated[str, AfterValidator(_with_one_place)]


class Prompts(BaseModel):
    """Templates, and the words that go into them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: Annotated[list[Template], Field(min_length=1)] = ["a clean origami {}."]
    """Texts with a place {} for words; the features of several are averaged."""
    words: dict[str, Text] = {}
    """Class name -> what stands in its place, where that is not the name: synonyms in a row."""
    background: Annotated[list[Text], Field(min_length=1)]
    """Words for what is no class of the data set; they compete with the classes of an image."""
    descriptions: list[Text] = []
    """Sentences on what the classes look like. Their features are clustered, and each class's feature takes up the
    centres that fit it best (ExCEL); without any, the words stand alone.
    """
    attributes: PositiveInt = 112
    """Clusters of the descriptions (ExCEL: 112 of 400 for VOC, 224 for COCO)."""

    def texts(self, class_names: Sequence[str]) -> list[str]:
        """The words of each class.

        Raises:
            ConfigurationError: words for a class that there is not.
        """
        for name in self.words:
            if name not in class_names:
                raise ConfigurationError(f"prompts.words: unknown class '{name}'.{closest(name, class_names)}")
        return [self.words.get(name, name) for name in class_names]


def prompted_classes(class_names: Sequence[str] | None) -> tuple[str, ...]:
    """The classes of a network that is told them by texts: those named, else VOC's 20."""
    return tuple(class_names or VOC_CLASSES)
