"""What every method page is: a module with its own losses and parameter groups."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from models.errors import ConfigurationError
from models.structures import Batch, CamView, Outputs, StepContext


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a learning-rate and a weight-decay multiplier.

    ``lr`` 1/2/10/20 is the family's habit: pretrained weights, their biases, new weights, new biases.
    """

    name: str
    parameters: list[nn.Parameter]
    lr: float = 1.0
    weight_decay: float = 1.0


class Method(nn.Module):
    """Base of the method pages (the protocol ``Trainable`` with its defaults).

    A page's constructor takes ``num_classes`` (foreground classes C) and keyword options, each with
    a default and a type annotation (bool, str, or a type of ``models.options``, which has a range): they are what
    ``params.yaml`` may set under ``model:``. An option of the type ``StartEpoch`` says from when on a loss counts.

    The attributes below say what a page is. They are read from the source (``pipeline.book.signatures.trait``), so that
    ``check`` needs no torch: write literals.

    Attributes:
        learns_from_pixels: its losses read labels of pixels; image tags alone teach it nothing.
        trains: it can be trained; without, its checkpoint is imported.
        from_init: parts that do not learn: the checkpoint that it starts from must have them, for the same classes.
        reads_attention: its backbone must have attention (``with_attention``).
        reads_texts: its backbone must be an image tower of CLIP, whose features lie beside those of texts.
        reads_tokens: its backbone must be a vision transformer with a class token (``tokens``).
        switches: function of the page -> the option that takes it away where it is 0.
        bands: pairs of options of which the first may be at most the second.
        starts: options of the type ``StartEpoch``, which the page keeps under their names -> the options (weights) of
            which one must be above 0 for it to matter; none where it always does. Those of base classes stay. A
            training that ends before it warns.
    """

    learns_from_pixels: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    from_init: ClassVar[Sequence[str]] = ()
    reads_attention: ClassVar[bool] = False
    reads_texts: ClassVar[bool] = False
    reads_tokens: ClassVar[bool] = False
    switches: ClassVar[Mapping[str, str]] = {}
    bands: ClassVar[Sequence[tuple[str, str]]] = ()
    starts: ClassVar[Mapping[str, Sequence[str]]] = {}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Option -> default, of the constructor and of those of base classes to which it hands further keywords on."""
        options: dict[str, Any] = {}
        for owner in cls.__mro__:
            if "__init__" in vars(owner):
                parameters = inspect.signature(vars(owner)["__init__"]).parameters.values()
                options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | options
                if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                    break
        return options

    @classmethod
    def all_starts(cls) -> dict[str, Sequence[str]]:
        """``starts`` of this class and of its base classes; the nearer one says what an option needs."""
        merged: dict[str, Sequence[str]] = {}
        for owner in reversed(cls.__mro__):
            merged |= vars(owner).get("starts", {})
        return merged

    def forward(self, batch: Batch) -> Outputs:
        raise NotImplementedError

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Named scalar loss parts, already weighted; the training loop minimises their sum."""
        raise NotImplementedError

    def new_modules(self) -> Iterator[nn.Module]:
        """Modules that start from scratch (heads): their weights learn at 10x, their biases at 20x."""
        yield from ()

    def parameter_groups(self) -> list[ParameterGroup]:
        """Four groups: pretrained weights x1, their biases x2 (no decay), new weights x10, new biases x20 (no decay).

        Frozen parameters (``requires_grad`` False) are left out; empty groups too.
        """
        new = {id(p) for module in self.new_modules() for p in module.parameters()}
        groups = [
            ParameterGroup("weights", [], 1.0, 1.0),
            ParameterGroup("biases", [], 2.0, 0.0),
            ParameterGroup("new_weights", [], 10.0, 1.0),
            ParameterGroup("new_biases", [], 20.0, 0.0),
        ]
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                index = 2 * (id(parameter) in new) + name.endswith("bias")
                groups[index].parameters.append(parameter)
        return [group for group in groups if group.parameters]

    def begin(self) -> None:
        """Called before the first step of a training, when weights to start from are in place; not when it goes on."""

    def before_step(self, context: StepContext) -> None:
        """Called before each optimiser step, for a ``forward`` that depends on when it is; without a generator."""

    def remember(self, outputs: Outputs, batch: Batch) -> None:
        """Called after each backward pass, to keep what later steps need: ``forward`` and ``losses`` keep nothing.

        A step of several accumulated batches calls it for each of them.
        """

    def after_step(self, context: StepContext) -> None:
        """Called after each optimiser step, for instance to move a teacher by exponential average."""


class AddOn(Method):
    """More losses on top of another page, which stays what it is: it is the base that is exported and predicts.

    An add-on's constructor takes the base and keyword options; its own modules, if any, are needed in training alone.
    Its ``losses`` put its own parts beside the base's with :meth:`joined`, which loses none.

    Attributes:
        name: its name in the door (``models.methods.ADD_ONS``), under which its own weights are kept.
        base: the page that it stands on, or another add-on around it.
    """

    name: ClassVar[str]

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base

    def forward(self, batch: Batch) -> Outputs:
        outputs: Outputs = self.base(batch)
        return outputs

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = self.base.losses(outputs, batch, context)
        return parts

    def joined(self, parts: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The base's parts and the add-on's own, each a scalar: what ``losses`` returns.

        Raises:
            ConfigurationError: both have a part of the same name, of which one would be lost.
        """
        if both := sorted(parts.keys() & own.keys()):
            raise ConfigurationError(
                f"{self.name}: expected loss parts with names of its own, found {', '.join(both)} in "
                f"{type(self.base).__name__} too. Remedy: in the add-on's code, another name."
            )
        return {**parts, **own}

    def cam_views(self, outputs: Outputs, batch: Batch) -> tuple[CamView, ...]:
        """Those of the base."""
        views: tuple[CamView, ...] = self.base.cam_views(outputs, batch)
        return views

    def look(self, image: Tensor) -> Outputs:
        """The base's."""
        outputs: Outputs = self.base.look(image)
        return outputs

    def new_modules(self) -> Iterator[nn.Module]:
        """The base's, and every module of the add-on's own."""
        yield from self.base.new_modules()
        yield from (module for name, module in self.named_children() if name != "base")

    def parameter_groups(self) -> list[ParameterGroup]:
        """The base's groups, and the add-on's own parameters as new ones."""
        groups: list[ParameterGroup] = self.base.parameter_groups()
        parameters = [(k, p) for k, p in self.named_parameters() if not k.startswith("base.") and p.requires_grad]
        weights = [p for k, p in parameters if not k.endswith("bias")]
        biases = [p for k, p in parameters if k.endswith("bias")]
        added = [
            ParameterGroup(f"{self.name}_weights", weights, 10.0, 1.0),
            ParameterGroup(f"{self.name}_biases", biases, 20.0, 0.0),
        ]
        return groups + [group for group in added if group.parameters]

    def begin(self) -> None:
        self.base.begin()

    def before_step(self, context: StepContext) -> None:
        self.base.before_step(context)

    def remember(self, outputs: Outputs, batch: Batch) -> None:
        self.base.remember(outputs, batch)

    def after_step(self, context: StepContext) -> None:
        self.base.after_step(context)


def layers(method: Method) -> Iterator[tuple[str, Method]]:
    """``("", page)``, then (name, add-on) from the inside out; a page without add-ons is alone."""
    if isinstance(method, AddOn):
        yield from layers(method.base)
        yield method.name, method
    else:
        yield "", method
