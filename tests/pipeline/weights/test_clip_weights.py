"""CLIP's file, in the three layouts in which it is published, becomes a network that knows classes by texts."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.backbones import BACKBONES
from models.backbones.clip_text import tokenise
from models.errors import ConfigurationError, DataError
from pipeline.datasets.class_names import VOC_CLASSES
from pipeline.storage.checkpoints import build_method, load_init, load_method, read_checkpoint
from pipeline.weights import texts
from pipeline.weights.official.importing import import_official, save_official, untrained
from pipeline.weights.pretrained import import_weights, read_entries, save_imported
from pipeline.weights.prompts import Prompts
from pipeline.weights.torchscript import read_torchscript
from tests.helpers.tiny_clip import EMBEDDED, WIDTH, TinyClip, entries, network

PROMPTS = Prompts(words={"bird": "bird avian"}, background=["ground", "sky"])


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("open_clip")
    pytest.importorskip("transformers")
    monkeypatch.setitem(BACKBONES, "clip_vit_b16", "tests.helpers.tiny_clip:TinyClip")
    monkeypatch.setitem(texts.SIZES, "clip_vit_b16", TinyClip)


def scripted(path: Path) -> None:
    """OpenAI's layout: a compiled module in half precision, whose submodules give the entries their names."""
    root = nn.Module()
    for name, value in entries().items():
        *parts, last = name.split(".")
        here = root
        for part in parts:
            if part not in here._modules:
                here.add_module(part, nn.Module())
            here = here._modules[part]  # type: ignore[assignment]
        here.register_buffer(last, value.half())
    root.register_buffer("input_resolution", torch.tensor(64))
    torch.jit.script(root).save(str(path))


def written(folder: Path, layout: str) -> Path:
    if layout == "openai":
        scripted(folder / "ViT.pt")
        return folder / "ViT.pt"
    if layout == "open_clip":
        torch.save({k: v.half() for k, v in entries().items()}, folder / "open_clip_pytorch_model.bin")
        return folder / "open_clip_pytorch_model.bin"
    save_file({k: v.half().contiguous() for k, v in network().state_dict().items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("layout", ["openai", "open_clip", "transformers"])
def test_every_layout_ends_in_the_same_network(tmp_path: Path, layout: str) -> None:
    file = written(tmp_path, layout)
    save_official(tmp_path / "es", import_official("clip_es", file, None, PROMPTS))
    card, state = read_checkpoint(tmp_path / "es")
    assert (card.method, card.class_names, card.options["backgrounds"]) == ("clip_es", VOC_CLASSES, 2)
    assert card.recipe["prompts"]["background"] == ["ground", "sky"]
    for name, value in entries().items():
        if name.startswith("visual."):
            torch.testing.assert_close(state["backbone." + name[7:]], value.half().float(), rtol=0, atol=0)
    with torch.inference_mode():
        reference = network()
        reference.load_state_dict({k: v.half().float() for k, v in reference.state_dict().items()})
        tokens = tokenise(["a clean origami bird avian.", "a clean origami sky."])
        wanted = nn.functional.normalize(reference.text_projection(reference.text_model(tokens).pooler_output), dim=1)
    torch.testing.assert_close(state["texts.classes"][2], wanted[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state["texts.background"][1], wanted[1], rtol=1e-4, atol=1e-5)
    method: Any = load_method(tmp_path / "es", VOC_CLASSES)
    tags = torch.zeros(1, 20, dtype=torch.bool)
    tags[0, 2] = True
    assert method.cams(torch.rand(1, 3, 40, 64), tags)[0, 2].any()
    np.testing.assert_allclose(method.backbone.mean.flatten(), [0.48145466, 0.4578275, 0.40821073])


def test_the_image_tower_alone_is_a_backbone_to_start_from(tmp_path: Path) -> None:
    file = written(tmp_path, "transformers")
    save_imported(tmp_path / "clip", import_weights("clip_vit_b16", file))
    method = build_method("classifier", 2, {"backbone": "clip_vit_b16"})
    load_init(method, tmp_path / "clip")
    torch.testing.assert_close(method.backbone.proj, entries()["visual.proj"].half().float())  # type: ignore[union-attr]
    torch.testing.assert_close(method.backbone.std.flatten()[0].item(), 0.26862954)  # type: ignore[union-attr, operator]
    imagenet = import_weights("clip_vit_b16", file, normalisation="imagenet").state["backbone.std"]
    assert imagenet.flatten()[0] == pytest.approx(0.229)


def test_its_input_may_be_scaled_as_that_of_others(tmp_path: Path) -> None:
    found = import_official("clip_es", written(tmp_path, "open_clip"), None, PROMPTS, "imagenet")
    assert found.method.backbone.mean.flatten()[0] == pytest.approx(0.485)  # type: ignore[union-attr, operator]


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    file = written(tmp_path, "open_clip")
    with pytest.raises(ConfigurationError, match=r"expected `prompts:`.*found none"):
        import_official("clip_es", file)
    unknown = Prompts(words={"brid": "bird"}, background=["sky"])
    with pytest.raises(ConfigurationError, match=r"prompts.words: unknown class 'brid'. Did you mean 'bird'"):
        import_official("clip_es", file, None, unknown)
    torch.save({k: v for k, v in entries().items() if k.startswith("visual.")}, file)
    with pytest.raises(DataError, match=r"both towers .*width 64, patches of 16 pixels, no logit_scale"):
        import_official("clip_es", file, None, PROMPTS)
    torch.save({"fc.weight": torch.rand(2, 2)}, file)
    with pytest.raises(DataError, match=r"found no visual.conv1.weight"):
        import_official("clip_es", file, None, PROMPTS)


def test_without_a_file_its_texts_are_random_directions() -> None:
    method: Any = untrained("clip_es", ("cow", "dog", "cat"), PROMPTS).method
    assert method.texts.classes.shape == (3, EMBEDDED)
    assert method.texts.background.shape == (2, EMBEDDED)
    assert method.backbone.channels["layer4"] == WIDTH


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('executed')",))


def archive(path: Path, content: bytes, numbers: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("x/constants.pkl", b"")
        made.writestr("x/data.pkl", content)
        made.writestr("x/data/0", numbers)
    return path


def test_nothing_in_an_archive_is_executed(tmp_path: Path) -> None:
    file = archive(tmp_path / "evil.pt", pickle.dumps({"a": Evil()}))
    with pytest.raises(DataError, match=r"names builtins\.exec, which is neither a module nor a tensor"):
        read_entries(file)


@pytest.mark.parametrize(("size", "stride"), [((1000000, 1000000), (0, 0)), ((9,), (1,)), ((2,), (5,))])
def test_a_tensor_reaches_no_further_than_its_numbers(tmp_path: Path, size: Any, stride: Any) -> None:
    """A module with one tensor over 4 numbers, opcode by opcode."""
    body = b"\x80\x02c__torch__.M\nM\n)\x81}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
    body += b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00"
    for numbers in (size, stride):
        body += b"(" + b"".join(b"J" + n.to_bytes(4, "little") for n in numbers) + b"t"
    body += b"\x89NtRsb."
    file = archive(tmp_path / "w.pt", body, b"\0" * 16)
    with pytest.raises(DataError, match=r"no whole \.pth file"):
        read_entries(file)


def test_views_of_shared_numbers_are_read(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = nn.Parameter(torch.arange(6.0))
            self.register_buffer("part", self.whole.detach()[2:5])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.whole

    torch.jit.script(Tied()).save(str(tmp_path / "tied.pt"))
    found = read_torchscript(tmp_path / "tied.pt")
    assert found["part"].tolist() == [2, 3, 4]
    assert found["whole"].tolist() == [0, 1, 2, 3, 4, 5]
