"""Every stage that computes on a device, with every page that it takes, on the pretend GPU: the CPU's results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from models.method import Method
from models.methods import METHODS
from models.ops.batch_norm import SynchronisedBatchNorm2d
from models.refiners.random_walk import RandomWalk
from models.structures import Cam, GatedSegmenter, Localizer, Propagator, Ranker, Segmenter
from stages.evaluate_boxes import BoxSample, score_boxes
from stages.export_cams import export_cams
from stages.predict_masks import predict_masks, predict_scored
from stages.propagate_cams import propagate_cams
from stages.train import train
from tests.helpers.pages import CLASSES, build
from tests.helpers.pretend_gpu import PretendGpu
from tests.helpers.pretend_run import SETTINGS, CpuRuntime, PretendRuntime, Same, batch_for, built
from tests.helpers.pretend_tensor import CUDA, held, mapped

IMAGE = np.random.default_rng(0).integers(256, size=(48, 40, 3), dtype=np.uint8)
TAGS = np.array([True, False, True])
CAM = Cam(np.array([1, 3]), np.random.default_rng(1).random((2, 12, 10), dtype=np.float32), (48, 40))


FUSED = {"clip_es", "excel", "weclip", "weclip_plus"}
"""Methods on torch's fused attention, which on plain CPU tensors takes another path and rounds differently."""


def page(name: str) -> Method:
    method = build(name, **({"inference_clusters": 3, "neighbours": 2} if name == "spml" else {}))
    return method.eval()


def answers(method: Any, device: Any) -> Iterator[tuple[str, Any]]:
    """What every stage makes of a page that suits it, as arrays."""
    views: dict[str, Any] = {"device": device, "scales": (0.75, 1.0), "flip": True}
    if isinstance(method, Localizer):
        for alignment in ("cells", "half_pixel"):
            ((_, cam),) = export_cams([("a", IMAGE, TAGS)], method, alignment=alignment, **views)  # type: ignore[arg-type]
            yield f"cams {alignment}", cam.scores
    if isinstance(method, Segmenter):
        ((_, cam),) = export_cams([("a", IMAGE, TAGS)], method, maps="posteriors", **views)
        yield "posteriors", cam.scores
        for tags in (None, TAGS):
            ((_, mask),) = predict_masks([("a", IMAGE, tags)], method, **views)
            yield "mask", mask
        scored = predict_scored(("a", IMAGE, None), method, **views)
        yield "scored", np.concatenate([scored.scores, scored.mask.ravel()])
    if isinstance(method, GatedSegmenter):
        gated: dict[str, Any] = {"gate": True, "average": "probabilities", "background": 0.17}
        ((_, mask),) = predict_masks([("a", IMAGE, None)], method, **views, **gated)
        yield "gated mask", mask
        alone = predict_scored(("a", IMAGE, None), method, **views, **gated)
        assert np.array_equal(alone.mask, mask)
    if isinstance(method, Propagator):
        objects = hasattr(method, "displacements")
        walk = RandomWalk("irn")
        ((_, cam),) = propagate_cams([("a", IMAGE, CAM)], method, walk, device=device, instances=objects)
        yield "walked", cam.scores
        if objects:
            yield "instances", cam.instances
    if isinstance(method, Ranker):
        boxed = BoxSample("a", CAM, np.array([1]), np.array([[4, 4, 30, 20]], np.float32), lambda: IMAGE)
        for square in (0, 32):
            score = score_boxes([boxed, boxed], method, device=device, square=square, batch_size=2)
            yield f"boxes {square}", np.array([*score.localisation().metrics.values()], np.float64)
        with torch.inference_mode():
            image = torch.from_numpy(IMAGE.copy()).to(device).permute(2, 0, 1)[None].float() / 255
            yield "tag scores", held(method.tag_scores(image)).numpy()


@pytest.mark.parametrize("name", METHODS)
def test_the_stages_answer_as_on_the_cpu(name: str) -> None:
    expected = list(answers(page(name), "cpu"))
    assert expected
    with PretendGpu() as gpu:
        found = list(answers(gpu.move(page(name)), CUDA))
        assert gpu.trips
    assert [key for key, _ in found] == [key for key, _ in expected]
    for (key, value), (_, wanted) in zip(found, expected, strict=True):
        if name in FUSED and value.dtype.kind == "f":
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-5, err_msg=f"{name}: {key}")
        else:
            np.testing.assert_array_equal(value, wanted, err_msg=f"{name}: {key}")


def test_neighbours_of_a_bank_as_on_the_cpu() -> None:
    def filled() -> Any:
        spml = build("spml", inference="neighbours", inference_clusters=3, neighbours=2).eval()
        vectors = torch.nn.functional.normalize(torch.rand(9, 64, generator=torch.Generator().manual_seed(0)), dim=1)
        spml.bank.add(vectors, torch.arange(9) % (1 + CLASSES), torch.zeros(9, CLASSES, dtype=torch.bool))  # type: ignore[union-attr]
        return spml

    ((_, expected),) = predict_masks([("a", IMAGE, None)], filled(), average="probabilities")
    spml = filled()
    with PretendGpu() as gpu:
        gpu.move(spml)
        ((_, found),) = predict_masks([("a", IMAGE, None)], spml, device=CUDA, average="probabilities")
    assert np.array_equal(found, expected)


def test_two_processes_synchronise_batch_norms_without_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process has the same batch: sums are twice one's own."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda values: values.mul_(2))

    def trained(runtime: Any) -> tuple[Any, Any]:
        runtime.world_size = 2
        method = built("classifier")
        result = train(method, Same(batch_for("classifier")), runtime, SETTINGS, seed=1)
        assert any(isinstance(part, SynchronisedBatchNorm2d) for part in method.modules())
        return result.history, {name: held(value) for name, value in method.state_dict().items()}

    history, weights = trained(CpuRuntime())
    with PretendGpu() as gpu:
        found, there = trained(PretendRuntime(gpu))
        assert set(gpu.trips) == {("stages/train.py _Meter.sums", "tolist")}
    assert found == history
    for name, value in weights.items():
        assert torch.equal(there[name], value), name


def test_a_training_goes_on_on_a_gpu_from_a_state_that_was_read_on_the_cpu() -> None:
    states: list[Any] = []

    def keep(done: int, snapshot: Any) -> None:
        if done == 1:
            states.append(
                mapped(lambda leaf: held(leaf).clone() if isinstance(leaf, torch.Tensor) else leaf, snapshot())
            )

    def trained(runtime: Any, **options: Any) -> tuple[Any, Any]:
        method = built("classifier")
        result = train(method, Same(batch_for("classifier")), runtime, SETTINGS, seed=1, **options)
        return result.history, {name: held(value) for name, value in method.state_dict().items()}

    history, weights = trained(CpuRuntime(), on_step=keep)
    with PretendGpu() as gpu:
        found, there = trained(PretendRuntime(gpu), state=states.pop())
    assert found == history
    for name, value in weights.items():
        assert torch.equal(there[name], value), name
