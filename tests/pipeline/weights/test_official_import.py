"""Published checkpoints as files: what is accepted, what is refused and in which words."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from models.errors import ConfigurationError, DataError
from pipeline.commands.use import app
from pipeline.storage.checkpoints import load_method, portable_state, read_checkpoint
from pipeline.weights.official import importing
from pipeline.weights.official.importing import from_entries, import_official, save_official
from pipeline.weights.official.table import OFFICIAL

SMALL = {"backbone": "resnet18", "width": 0.25, "output_stride": 16}
Entries = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same importer over networks of a size for tests; ``trunk.`` stands for the published trunk."""
    trunk = (r"^trunk\.(.*)$", r"backbone.\1")
    small = {
        name: replace(OFFICIAL[name], rules=(trunk, *OFFICIAL[name].rules), options=SMALL)
        for name in ("psa_cls", "seam", "ppc", "psa_aff")
    }
    small["spml"] = replace(
        OFFICIAL["spml"],
        rules=((r"^embedding_model::trunk\.(.*)$", r"backbone.\1"), *OFFICIAL["spml"].rules),
        options={**SMALL, "bank": 0, "embedding": 8},
    )
    monkeypatch.setattr(importing, "OFFICIAL", small)


def backbone_entries(prefix: str = "trunk.") -> Entries:
    from models.backbones.resnet import ResNet18

    torch.manual_seed(0)
    state = ResNet18(width=0.25).state_dict()
    return {prefix + name: value for name, value in state.items() if name not in ("mean", "std")}


def psa(classes: int = 20) -> Entries:
    return {**backbone_entries(), "fc8.weight": torch.rand(classes, 128, 1, 1)}


def test_a_file_becomes_a_checkpoint_that_says_where_it_is_from(tmp_path: Path) -> None:
    torch.save({f"module.{name}": value for name, value in psa().items()}, tmp_path / "res38_cls.pth")
    save_official(tmp_path / "out", import_official("psa_cls", tmp_path / "res38_cls.pth"))
    card, state = read_checkpoint(tmp_path / "out")
    assert (card.method, len(card.class_names), card.class_names[14]) == ("classifier", 20, "person")
    assert card.recipe["official"] == "psa_cls"
    assert card.recipe["source"].startswith("jiwoon-ahn/psa@9493e59")
    assert len(card.recipe["sha256"]) == 64
    assert card.options["backbone"] == "resnet18"
    assert torch.equal(state["backbone.conv1.weight"], psa()["trunk.conv1.weight"])
    method = load_method(tmp_path / "out", card.class_names)
    assert method.cams(torch.rand(1, 3, 32, 32), torch.ones(1, 20, dtype=torch.bool)).shape == (1, 20, 2, 2)  # type: ignore[operator]


def test_counters_may_be_missing() -> None:
    entries = {name: value for name, value in psa().items() if not name.endswith("num_batches_tracked")}
    from_entries("psa_cls", entries)


def test_missing_entries_are_named() -> None:
    entries = psa()
    del entries["trunk.layer1.0.conv1.weight"]
    with pytest.raises(DataError, match=r"1 of \d+ entries missing: backbone\.layer1\.0\.conv1\.weight"):
        from_entries("psa_cls", entries)


def test_surplus_entries_are_named() -> None:
    heads = {"f8_3.weight": torch.rand(64, 32, 1, 1), "f8_4.weight": torch.rand(128, 64, 1, 1)}
    with pytest.raises(DataError, match=r"3 unexpected entries(?s:.*)made for \(seam, ppc\?\)"):
        from_entries("psa_cls", {**psa(), **heads, "f9.weight": torch.rand(192, 195, 1, 1)})
    with pytest.raises(DataError, match=r"1 unexpected entries: f9\.weight"):
        from_entries("psa_cls", {**psa(), "f9.weight": torch.rand(1)})


def test_entries_of_another_shape_are_named() -> None:
    with pytest.raises(DataError, match=r"backbone\.conv1\.weight \(expected \[16, 3, 7, 7\], found \[8, 3, 7, 7\]\)"):
        from_entries("psa_cls", {**psa(), "trunk.conv1.weight": torch.rand(8, 3, 7, 7)})


def test_coco_is_known_by_its_number_of_classes_and_others_must_be_named() -> None:
    assert from_entries("psa_cls", psa(80)).card.class_names[-1] == "toothbrush"
    with pytest.raises(ConfigurationError, match="3 classes, neither VOC's 20 nor COCO's 80"):
        from_entries("psa_cls", psa(3))
    assert from_entries("psa_cls", psa(3), ["a", "b", "c"]).card.class_names == ("a", "b", "c")
    with pytest.raises(ConfigurationError, match="expected 3 class names, found 2"):
        from_entries("psa_cls", psa(3), ["a", "b"])


def test_unknown_names_get_the_closest() -> None:
    with pytest.raises(ConfigurationError, match=r"Unknown official network 'spmll'.*spml"):
        from_entries("spmll", {})


class Evil:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_code_in_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"fc8.weight": Evil()}))
    with pytest.raises(DataError):
        import_official("psa_cls", tmp_path / "evil.pth")
    assert "executed" not in capsys.readouterr().out


def test_a_network_with_an_add_on_keeps_its_weights(tmp_path: Path) -> None:
    heads = {"fc8.weight": (21, 128), "fc_proj.weight": (128, 128), "f8_3.weight": (64, 32), "f8_4.weight": (128, 64)}
    entries = backbone_entries() | {name: torch.rand(*shape, 1, 1) for name, shape in heads.items()}
    published = from_entries("ppc", {**entries, "f9.weight": torch.rand(192, 195, 1, 1)})
    state = portable_state(published.method)
    assert torch.equal(state["add_ons.ppc.projection.weight"], entries["fc_proj.weight"])
    assert published.card.method == "seam"


def test_a_network_that_tells_no_classes_apart_fits_any(tmp_path: Path) -> None:
    shapes = {"f8_3.weight": (64, 32), "f8_4.weight": (128, 64), "f8_5.weight": (256, 128), "f9.weight": (448, 448)}
    entries = backbone_entries() | {name: torch.rand(*shape, 1, 1) for name, shape in shapes.items()}
    save_official(tmp_path / "aff", from_entries("psa_aff", entries))
    load_method(tmp_path / "aff", ["cat", "dog"])


def test_spmls_two_state_dicts_are_read_from_one_file(tmp_path: Path) -> None:
    embedding = backbone_entries("module.trunk.")
    for number in range(1, 5):
        embedding |= {
            f"module.aspp.aspp_{number}.0.weight": torch.rand(8, 128, 3, 3),
            f"module.aspp.aspp_{number}.0.bias": torch.rand(8),
        }
    norm = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    prediction = {
        "semantic_classifier.0.weight": torch.rand(16, 8, 3, 3),
        **{f"semantic_classifier.1.{name}": torch.full((16,), value) for name, value in norm.items()},
        "semantic_classifier.4.weight": torch.rand(21, 16, 1, 1),
        "semantic_classifier.4.bias": torch.rand(21),
    }
    torch.save({"embedding_model": embedding, "prediction_model": prediction}, tmp_path / "model.pth")
    published = import_official("spml", tmp_path / "model.pth")
    assert published.card.class_names[0] == "aeroplane"


def test_the_command_writes_a_checkpoint_and_spares_other_folders(tmp_path: Path) -> None:
    torch.save(psa(), tmp_path / "cls.pth")
    out = tmp_path / "checkpoints" / "psa"
    result = CliRunner().invoke(app, ["import-checkpoint", "psa_cls", str(tmp_path / "cls.pth"), str(out)])
    assert result.exit_code == 0, result.output
    assert "classifier of jiwoon-ahn/psa@9493e59" in result.output
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    result = CliRunner().invoke(
        app, ["import-checkpoint", "psa_cls", str(tmp_path / "cls.pth"), str(tmp_path / "mine")]
    )
    assert isinstance(result.exception, ConfigurationError)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "kept"
