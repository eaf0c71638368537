"""An edit re-runs what it can change, and nothing else."""

from __future__ import annotations

import ast

import pytest

from pipeline.code import _plain, closure, fingerprint


def test_closure_follows_imports_and_stays_in_its_own_verb() -> None:
    train = closure(("pipeline.binders.train", "models.methods.classifier", "models.backbones.resnet"))
    assert {"stages.train", "models.optim", "pipeline.loaders", "models.structures"} <= train
    assert not {"models.methods.segmenter", "stages.export_cams", "models.backbones.mobilenet_v2"} & train
    refine = closure(("pipeline.binders.refine_cams", "models.refiners.dense_crf"))
    assert not {name for name in refine if name.startswith(("models.methods", "models.backbones", "stages.train"))}


def test_bookkeeping_and_doors_do_not_count() -> None:
    found = closure(("pipeline.binders.train",))
    assert not {"pipeline.tracking", "pipeline.params", "models.backbones", "models.methods"} & found


def test_fingerprint_depends_on_the_named_parts() -> None:
    first = fingerprint("train", ("models.backbones.resnet",))
    assert first == fingerprint("train", ("models.backbones.resnet",))
    assert first != fingerprint("train", ("models.backbones.mobilenet_v2",))
    assert first != fingerprint("export_cams", ("models.backbones.resnet",))


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("x = 1  # why\n", "x = 1\n", True),
        ('def f():\n    """Doc."""\n    return 1\n', "def f():\n    return 1\n", True),
        ("x = (1,\n     2)\n", "x = (1, 2)\n", True),
        ("x = 1\n", "x = 2\n", False),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(before: str, after: str, same: bool) -> None:
    assert (_plain(ast.parse(before)) == _plain(ast.parse(after))) is same
