"""What a component says of itself in its source: every option has a type and a range, base classes count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models import options
from models.doors import resolve
from models.errors import ConfigurationError
from models.methods import ADD_ONS, METHODS
from models.refiners import REFINERS
from models.rules import RULES
from pipeline.annotations import ANNOTATORS
from pipeline.book.options import OPTIONS
from pipeline.book.signatures import constant_beside, has_method, options_model, trait
from pipeline.datasets import READERS

DOORS = (METHODS, ADD_ONS, RULES, REFINERS, ANNOTATORS, READERS)
COMPONENTS = sorted({target for door in DOORS for target in door.values()} | {t for t in OPTIONS.values() if ":" in t})


@pytest.mark.parametrize("target", COMPONENTS)
def test_every_option_has_a_type_that_check_knows_and_a_default_in_its_range(target: str) -> None:
    model = options_model(target)
    for name, field in model.model_fields.items():
        assert field.annotation is not Any, f"{target}: {name} is not checked"
    given = {name: field.default for name, field in model.model_fields.items() if field.default not in (..., None)}
    required = {name: {} for name, field in model.model_fields.items() if field.is_required()}
    model.model_validate(required | {name: given[name] for name in given if not model.model_fields[name].is_required()})


@pytest.mark.parametrize(
    ("target", "option", "value"),
    [
        (METHODS["rtc"], "background", 2),
        (METHODS["afa"], "high", 2),
        (ADD_ONS["ppc"], "background", 2),
        ("stages.predict_masks:predict_masks", "background", 2),
        (METHODS["segmenter"], "also_scales", [0.0]),
        (METHODS["seam"], "frozen_stages", 6),
        (ADD_ONS["hfpl"], "mu", -21),
    ],
)
def test_one_name_has_the_range_of_its_component(target: str, option: str, value: object) -> None:
    with pytest.raises(ValidationError):
        options_model(target).model_validate({option: value})
    options_model(ANNOTATORS["points"]).model_validate({"background": 2})


def test_what_check_builds_imports_no_torch() -> None:
    built = [target for target in COMPONENTS if trait(target, "built_by_check")]
    assert {*RULES.values(), *REFINERS.values(), "models.settings:TrainSettings"} < set(built)
    modules = ", ".join(sorted({target.partition(":")[0] for target in built}))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


MINE = """
from typing import Annotated, Any, ClassVar

from pydantic import Field

from models.methods.seam import Seam
from models.options import Share, Weight

Odd = Annotated[int, Field(ge=1, multiple_of=2)]


class Plain(Seam):
    pass


class Mine(Plain):
    reads: ClassVar[bool] = True

    def __init__(self, num_classes: int, *, hardest: Share = 0.5, extra: Weight = 1.0, odd: Odd = 2, **more: Any):
        super().__init__(num_classes, hardest=hardest, **more)

    def scores(self, image):
        return image
"""


def test_base_classes_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_by_base.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    seam, plain, mine = (options_model(t) for t in (METHODS["seam"], "mine_by_base:Plain", "mine_by_base:Mine"))
    assert [*plain.model_fields] == [*seam.model_fields]
    assert [*mine.model_fields] == [*seam.model_fields, "extra", "odd"]
    assert mine.model_fields["hardest"].default == 0.5
    mine.model_validate({"hardest": 0, "width": 0.5})
    for wrong in ({"width": 0}, {"extra": -1}, {"odd": 0}, {"hardestt": 1}):
        with pytest.raises(ValidationError):
            mine.model_validate(wrong)
    assert has_method("mine_by_base:Mine", "cams")
    assert has_method("mine_by_base:Mine", "scores")
    assert not has_method("mine_by_base:Plain", "scores")
    assert trait("mine_by_base:Mine", "reads") is True
    assert trait("mine_by_base:Plain", "reads") is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, r"page.share: expected a share in \[0,1\], found 1.5"),
        ({"share": float("nan")}, "page.share: expected a finite number, found nan"),
        ({"scales": []}, r"page.scales: expected one or more factors above 0, found \[\]"),
        ({"scales": (1, -1)}, r"page.scales: expected one or more factors above 0, found \(1, -1\)"),
        ({"maybe": 0}, "page.maybe: expected a number above 0, found 0"),
        ({"stride": 12}, "page.stride: expected 8, 14, 16 or 32, found 12"),
    ],
)
def test_a_constructor_refuses_what_its_signature_excludes(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        options.require("page", _page, values)
    options.require("page", _page, {"share": 1, "maybe": None, "scales": (0.5,), "other": -1, "unknown": -1})


def _page(
    share: options.Share,
    scales: options.Scales,
    stride: options.OutputStride,
    maybe: options.Positive | None = None,
    other: float = 0,
) -> None: ...


def test_what_readers_and_kinds_give_stands_on_them() -> None:
    fixed = {name: splits for name in READERS if (splits := constant_beside(READERS[name], "FIXED_SPLITS"))}
    assert fixed == {"toy": ("train", "val"), "cub": ("train", "test")}
    assert tuple(resolve(READERS, "toy", "reader")(train=1, val=1).splits) == fixed["toy"]
    assert not [name for name in fixed if "splits" in options_model(READERS[name]).model_fields]
    assert [kind for kind, target in ANNOTATORS.items() if trait(target, "may_hold_boxes")] == [
        "boxes",
        "shapes",
        "mixture",
    ]
