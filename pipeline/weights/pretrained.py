"""Pretrained weights from elsewhere -> a checkpoint to start from."""

from __future__ import annotations

import hashlib
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.backbones import BACKBONES
from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from models.backbones.build import build_backbone
from models.backbones.clip import CLIP_MEAN, CLIP_STD
from models.doors import resolve
from models.errors import ConfigurationError, DataError, closest
from pipeline.storage.checkpoints import (
    BACKBONE,
    Card,
    StateDict,
    differences,
    read_safetensors,
    write_checkpoint,
)
from pipeline.storage.finite import require_finite
from pipeline.weights.archives import refuse_bomb
from pipeline.weights.torchscript import is_torchscript, read_torchscript

Normalisation = Literal["imagenet", "half", "clip"]
NORMALISATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": (CLIP_MEAN, CLIP_STD),
}
"""Mean and standard deviation of the input in [0,1]: torchvision's, x / 127.5 - 1 (TensorFlow's models), and CLIP's."""

CLASSIFIERS = ("fc.", "classifier.", "linear1000.", "aspp.")
"""Names of what no method here uses: ImageNet's 1000 classes, and the head of DeepLab's COCO weights."""
CONTAINERS = ("state_dict", "model", "model_state_dict")
NETWORK_SECONDS = 20.0
WEB_PAGE_BYTES = 256
"""Of a file's beginning, in which a web page shows itself."""
HUB_FILE = "pytorch_model.bin"


@dataclass(frozen=True, slots=True)
class ImportedWeights:
    """Backbone weights under the names of a method's state dict (``backbone.*``), and where they are from."""

    state: StateDict
    recipe: dict[str, Any]


def import_weights(
    architecture: str, file: Path, download: bool = False, normalisation: Normalisation | None = None
) -> ImportedWeights:
    """Read weights for ``architecture`` and check that they are whole.

    Args:
        architecture: a name of ``models.backbones``, such as ``timm/NAME``, or "random" for none at all (``file`` is
            not read).
        file: .safetensors, .pth/.pt/.bin (tensors only: code is refused, that of a TorchScript archive not run) or .npz
            (no pickles), with the entry names of the backbone's ``library``; ``module.`` and ``backbone.`` prefixes and
            ImageNet classifiers are dropped.
        download: get the library's weights (torchvision: IMAGENET1K_V1; timm: those of the name's tag, or its default)
            instead of reading ``file``.
        normalisation: what the weights expect of their input, None for what the architecture's published weights do;
            a file's own ``mean`` and ``std`` entries win.

    Raises:
        ConfigurationError: unknown architecture, normalisation or kind of file, or a package is missing.
        DataError: the file is missing, damaged, has code in it or does not fit; or there is no network.
    """
    if architecture == "random":
        return ImportedWeights({}, {"architecture": "random"})
    if architecture not in BACKBONES:
        raise ConfigurationError(
            f"Unknown architecture '{architecture}'.{closest(architecture, [*BACKBONES, 'random'])}"
        )
    if normalisation is not None and normalisation not in NORMALISATIONS:
        raise ConfigurationError(f"Unknown normalisation '{normalisation}'.{closest(normalisation, NORMALISATIONS)}")
    if download:
        library, where, entries = download_weights(architecture)
        source = {library: where}
    else:
        entries = read_entries(file)
        where, source = str(file), {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    state = _fitted(architecture, entries, where, normalisation)
    return ImportedWeights(state, {"architecture": architecture, **source})


def save_imported(folder: Path, imported: ImportedWeights) -> None:
    """Write imported weights as a checkpoint without a method."""
    write_checkpoint(folder, imported.state, Card(recipe=imported.recipe))


def read_entries(path: Path, parts: Sequence[str] = ()) -> StateDict:
    """All tensors of a weights file, by its suffix.

    Args:
        parts: names of the state dicts in a .pth that holds several; entries are then called ``PART::NAME``.

    Raises:
        ConfigurationError: a suffix that is not known.
        DataError: the file is missing, damaged, or holds something other than tensors.
    """
    torch_files = dict.fromkeys((".pth", ".pt", ".bin"), partial(_read_pth, parts=parts))
    readers: dict[str, Callable[[Path], StateDict]] = {
        ".safetensors": read_safetensors,
        **torch_files,
        ".npz": _read_npz,
    }
    if path.suffix not in readers:
        raise ConfigurationError(
            f"{path}: unknown kind of weights file '{path.suffix}'.{closest(path.suffix, readers)}"
        )
    if not path.is_file():
        raise DataError(f"No weights file at {path}. Remedy: copy it there, or name another file.")
    return readers[path.suffix](path)


def _read_pth(path: Path, parts: Sequence[str] = ()) -> StateDict:
    with path.open("rb") as file:
        if file.read(WEB_PAGE_BYTES).lstrip().lower().startswith((b"<!doctype", b"<html")):
            raise DataError(
                f"{path} is a web page, not a file of weights: the address that it was downloaded from shows a page "
                "first. Remedy: open that address in a browser and download the file itself."
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols newer than 2, which load all the same
            refuse_bomb(path)
            if is_torchscript(path):
                return read_torchscript(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except UnpicklingError as error:
        reason = next((line for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), "")
        raise DataError(
            f"{path} is not a plain file of tensors: it is damaged, or holds Python objects, which could run code on "
            f"loading and are refused. {reason.partition('Please use')[0].strip()[:200]} "
            "Remedy: where you trust its source, save its tensors alone: torch.save(network.state_dict(), FILE)."
        ) from None
    except Exception as error:  # a damaged pickle or archive can end in almost any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is no whole .pth file ({reason[:200]}). Remedy: copy or download it again.") from None
    if parts and isinstance(content, Mapping) and all(isinstance(content.get(part), Mapping) for part in parts):
        content = {f"{part}::{name}": value for part in parts for name, value in content[part].items()}
    return _tensors(content, path)


def _tensors(content: Any, path: Path) -> StateDict:
    """A state dict out of the containers in which training scripts put it."""
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise DataError(f"{path}: expected a state dict (names to tensors), found {type(content).__name__}.")
    return dict(content)


def _read_npz(path: Path) -> StateDict:
    try:
        refuse_bomb(path)
        with np.load(path, allow_pickle=False) as file:
            return {name: torch.from_numpy(np.array(file[name])) for name in file.files}
    except DataError:
        raise
    except Exception as error:  # a damaged archive can end in almost any way
        raise DataError(
            f"{path} is no whole .npz file of plain arrays ({error}; pickled objects are refused). "
            "Remedy: copy or make it again."
        ) from None


def _fitted(architecture: str, entries: StateDict, where: str, normalisation: Normalisation | None) -> StateDict:
    """Entries under a backbone's own names, every one there and of its shape."""
    built = build_backbone(architecture)
    backbone = built.state_dict()
    plain = {name.removeprefix("module.").removeprefix(BACKBONE): value for name, value in entries.items()}
    needed = {name: value for name, value in plain.items() if not name.startswith((*CLASSIFIERS, *built.not_needed))}
    entries_here = built.own_entries(needed)
    scaled = (backbone["mean"], backbone["std"]) if normalisation is None else NORMALISATIONS[normalisation]
    for key, values in zip(("mean", "std"), scaled, strict=True):
        entries_here.setdefault(key, torch.as_tensor(values).view(1, 3, 1, 1))
    for name in backbone:
        if name.endswith("num_batches_tracked"):  # older files lack these counters, and nothing reads them
            entries_here.setdefault(name, backbone[name])
    problems = differences({k: v.shape for k, v in backbone.items()}, {k: v.shape for k, v in entries_here.items()})
    if problems:
        raise DataError(
            f"{where} does not hold weights of '{architecture}' under names of {built.library}:\n{problems}\n"
            "Remedy: name the architecture that the file was made for, or another file."
        )
    require_finite({name: entries_here[name] for name in backbone}, where)
    return {BACKBONE + name: entries_here[name].to(value.dtype) for name, value in backbone.items()}


def download_weights(architecture: str) -> tuple[str, str, StateDict]:
    """(library, name, entries) of the published weights of a backbone; DataError where they cannot be had."""
    kind = resolve(BACKBONES, architecture, "backbone")
    if "/" in architecture:
        network = architecture.partition("/")[2]
        return kind.library, network, _from_timm(network)
    if kind.hub:
        return kind.library, kind.hub, _from_hub(kind.hub)
    if kind.library != "torchvision":
        raise DataError(
            f"No address is known from which to download weights of '{architecture}' ({kind.library}). "
            "Remedy: get the file yourself and name it: `file: PATH`, `download: false`."
        )
    from torchvision.models import get_model_weights

    weights = get_model_weights(architecture)["IMAGENET1K_V1"]
    try:
        with _network_timeout(NETWORK_SECONDS):
            return "torchvision", str(weights), dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise _unreachable(str(weights), weights.url, error) from None


def _from_hub(repository: str) -> StateDict:
    """The weights of a repository of the Hugging Face hub, kept in its cache."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ConfigurationError(
            f"Downloading {repository} needs huggingface_hub, which is not installed. "
            "Remedy: pip install 'weak2mask[mit]', or a local file: `file: PATH`, `download: false`."
        ) from None
    try:
        with _network_timeout(NETWORK_SECONDS):
            path = hf_hub_download(repository, HUB_FILE)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreachable(f"{HUB_FILE} of {repository}", "the Hugging Face hub", error) from None
    return read_entries(Path(path))


def _from_timm(name: str) -> StateDict:
    """The weights that timm fetches for one of its networks, under timm's names."""
    build_backbone(f"timm/{name}")  # refuses an unknown name, and says so where timm is missing
    import timm

    try:
        with _network_timeout(NETWORK_SECONDS):
            state: StateDict = timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreachable(f"weights of timm/{name}", "where timm keeps them", error) from None
    return state


def _unreachable(what: str, where: str, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(
        f"Could not download {what} from {where} ({reason}). Remedy: get that file on a machine with the internet, "
        "copy it here and name it: `file: PATH`, `download: false`."
    )


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
