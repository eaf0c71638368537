"""The training loop, on a network of a few weights."""

from __future__ import annotations

import re
import warnings
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import ConfigurationError, TrainingError
from models.method import Method
from models.settings import TrainSettings
from models.structures import Batch, Outputs, StepContext
from stages.train import HistoryRow, TrainingState, step_generator, train

SETTINGS = TrainSettings(steps=6, lr=0.05, log_every=2)


class Tiny(Method):
    """A classifier of two classes; ``poison`` makes one loss part NaN at that step."""

    def __init__(self, num_classes: int = 2, dropout: float = 0.0, norm: bool = False, poison: int = -1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(4, num_classes, 1)
        self.poison = poison
        self.finished: list[int] = []

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.classifier

    def forward(self, batch: Batch) -> Outputs:
        features = self.dropout(functional.relu(self.norm(self.conv(batch.image))))
        return {"logits": self.classifier(features).mean((2, 3))}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        bce = functional.binary_cross_entropy_with_logits(outputs["logits"], batch.tags.float())
        noise = torch.rand((), generator=context.generator, device=bce.device)
        decay = outputs["logits"].square().mean() * noise * 0.1
        return {"tags": bce, "size": decay * float("nan") if context.step == self.poison else decay}

    def after_step(self, context: StepContext) -> None:
        self.finished.append(context.step)


class Made:
    """Batches that are a function of the step, cut into ``accumulate`` parts."""

    steps_per_epoch = 3

    def __init__(self, accumulate: int = 1, batch: int = 4) -> None:
        self.accumulate, self.batch = accumulate, batch

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        for step in range(start, stop):
            generator = torch.Generator().manual_seed(step)
            image = torch.rand(self.batch, 3, 8, 8, generator=generator)
            tags = torch.rand(self.batch, 2, generator=generator) > 0.5
            seeds = torch.zeros(self.batch, 8, 8, dtype=torch.long)
            ids = [f"{step}_{i}" for i in range(self.batch)]
            for rows in torch.arange(self.batch).chunk(self.accumulate):
                yield Batch(image[rows], tags[rows], seeds[rows], tuple(ids[i] for i in rows))


@pytest.fixture(scope="module")
def fabric() -> Any:
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)


def tiny(**options: Any) -> Tiny:
    torch.manual_seed(0)
    return Tiny(**options)


def weights(method: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in method.state_dict().items()}


def test_it_learns_and_keeps_a_history(fabric: Any) -> None:
    rows: list[HistoryRow] = []
    method = tiny()
    result = train(method, Made(), fabric, replace(SETTINGS, steps=5), seed=1, on_row=rows.append)
    assert rows == result.history
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert rows[-1]["epoch"] == pytest.approx(5 / 3)
    assert rows[0]["lr"] > rows[1]["lr"] > rows[2]["lr"] > 0
    for row in rows:
        assert row["total"] == pytest.approx(row["tags"] + row["size"])
    assert method.finished == [0, 1, 2, 3, 4]
    assert weights(method) != weights(tiny())


def test_the_loss_falls_when_the_batch_stays(fabric: Any) -> None:
    class Same(Made):
        def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
            for _ in range(start, stop):
                yield from super().batches(0, 1)

    result = train(tiny(), Same(), fabric, replace(SETTINGS, steps=40, lr=0.1, weight_decay=0.0), seed=1)
    assert result.history[-1]["tags"] < 0.9 * result.history[0]["tags"]


def test_the_first_rows_are_the_plain_arithmetic_of_sgd(fabric: Any) -> None:
    method, by_hand = tiny(), tiny()
    train(method, Made(), fabric, replace(SETTINGS, steps=1, momentum=0.0, weight_decay=0.0), seed=1)
    batch = next(Made().batches(0, 1))
    losses = by_hand.losses(by_hand(batch), batch, StepContext(0, 1, 3, step_generator(fabric, 1, 0, 0)))
    sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    factors = {"conv.weight": 1, "conv.bias": 2, "classifier.weight": 10, "classifier.bias": 20}
    for name, parameter in by_hand.named_parameters():
        assert parameter.grad is not None
        expected = parameter.detach() - SETTINGS.lr * factors[name] * parameter.grad
        torch.testing.assert_close(method.get_parameter(name).detach(), expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_going_on_from_any_step_gives_the_same_bytes(
    fabric: Any, optimizer: Literal["sgd", "adamw"], ema: float
) -> None:
    import io

    settings = replace(SETTINGS, optimizer=optimizer, ema=ema, log_every=4)
    taken: dict[int, bytes] = {}

    def keep(done: int, snapshot: Any) -> None:
        torch.save(snapshot(), file := io.BytesIO())
        taken[done] = file.getvalue()

    whole = tiny(dropout=0.5, norm=True)
    history = train(whole, Made(), fabric, settings, seed=1, on_step=keep).history
    for done in (1, 3, 5, 6):
        state: TrainingState = torch.load(io.BytesIO(taken[done]), weights_only=True)
        resumed = Tiny(dropout=0.5, norm=True)
        result = train(resumed, Made(), fabric, settings, seed=1, state=state)
        assert result.history == history
        assert weights(resumed) == weights(whole)


def test_accumulated_parts_are_the_whole_batch_up_to_rounding(fabric: Any) -> None:
    class NoNoise(Tiny):
        def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
            return {"tags": super().losses(outputs, batch, context)["tags"]}

    torch.manual_seed(0)
    whole = NoNoise()
    torch.manual_seed(0)
    parts = NoNoise()
    one = train(whole, Made(), fabric, SETTINGS, seed=1)
    two = train(parts, Made(2), fabric, replace(SETTINGS, accumulate=2), seed=1)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert two.history[-1]["total"] == pytest.approx(one.history[-1]["total"], rel=1e-5)


def test_a_loss_that_is_not_finite_stops_with_step_part_and_images(fabric: Any) -> None:
    with pytest.raises(TrainingError, match=r"Step 3: loss part 'size' is not finite .*images: 3_0, 3_1, 3_2, 3_3"):
        train(tiny(poison=3), Made(), fabric, SETTINGS, seed=1)


def test_no_state_has_a_loss_that_is_not_finite(fabric: Any) -> None:
    """Losses are read at rows of the history, here after the sixth step; a state asks for them earlier."""
    taken: list[int] = []
    settings = replace(SETTINGS, log_every=6)
    with pytest.raises(TrainingError, match=r"Step 3: loss part 'size'"):
        train(tiny(poison=3), Made(), fabric, settings, seed=1, on_step=lambda done, take: taken.append(take()["done"]))
    assert taken == [1, 2, 3]


def test_what_fails_after_a_loss_that_is_not_finite_is_explained_by_it(fabric: Any) -> None:
    class Fragile(Tiny):
        def forward(self, batch: Batch) -> Outputs:
            if self.conv.weight.isnan().any():
                raise ValueError("NaN in a weight")
            return super().forward(batch)

    torch.manual_seed(0)
    with pytest.raises(TrainingError, match=r"Step 1: loss part 'size' is not finite .*images: 1_0, 1_1, 1_2, 1_3"):
        train(Fragile(poison=1), Made(), fabric, replace(SETTINGS, log_every=6), seed=1)


def test_the_result_with_ema_is_the_average(fabric: Any) -> None:
    last, average = tiny(), tiny()
    train(last, Made(), fabric, SETTINGS, seed=1)
    train(average, Made(), fabric, replace(SETTINGS, ema=0.9), seed=1)
    start = tiny()
    far = (last.conv.weight - start.conv.weight).norm()
    near = (average.conv.weight - start.conv.weight).norm()
    assert 0 < near < far


def test_clipping_bounds_the_step(fabric: Any) -> None:
    settings = replace(SETTINGS, steps=1, momentum=0.0, weight_decay=0.0, clip_norm=1e-3)
    method, start = tiny(), tiny()
    train(method, Made(), fabric, settings, seed=1)
    moved = torch.cat([(a - b).flatten() for a, b in zip(method.parameters(), start.parameters(), strict=True)])
    assert 0 < moved.norm() <= 1.001 * SETTINGS.lr * 20 * 1e-3


def test_clipping_lets_the_scaler_leave_out_a_step_whose_gradients_are_infinite() -> None:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.precision import MixedPrecision

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)  # type: ignore[attr-defined]
    mixed = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", device="cpu", scaler=scaler)])
    method, start = tiny(), tiny()
    train(method, Made(), mixed, replace(SETTINGS, steps=2, clip_norm=1.0), seed=1)
    assert scaler.get_scale() == 2.0**38
    assert weights(method) == weights(start)


def test_without_a_scaler_clipping_refuses_gradients_that_are_not_finite(fabric: Any) -> None:
    class Broken(Tiny):
        def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
            return {"root": (outputs["logits"].sum() * 0).sqrt()}  # 0, with a gradient that is none

    with pytest.raises(RuntimeError, match="non-finite"):
        train(Broken(), Made(), fabric, replace(SETTINGS, clip_norm=1.0), seed=1)


def test_the_average_starts_where_the_method_begins(fabric: Any) -> None:
    class Second(Tiny):
        """A second network, which becomes the first as the training begins."""

        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Conv2d(3, 4, 3).requires_grad_(False)

        def begin(self) -> None:
            self.second.load_state_dict(self.conv.state_dict())

    torch.manual_seed(0)
    method = Second()
    first = method.conv.weight.detach().clone()
    train(method, Made(), fabric, replace(SETTINGS, steps=1, ema=0.9), seed=1)
    torch.testing.assert_close(method.second.weight.detach(), first)


def test_outputs_of_a_micro_batch_are_gone_before_the_next_forward(fabric: Any) -> None:
    class Watched(Tiny):
        alive: ClassVar[list[weakref.ref[Tensor]]] = []
        found: ClassVar[list[bool]] = []

        def forward(self, batch: Batch) -> Outputs:
            self.found.append(any(one() is not None for one in self.alive))
            outputs = super().forward(batch)
            self.alive.append(weakref.ref(outputs["logits"]))
            return outputs

    train(Watched(), Made(accumulate=2), fabric, replace(SETTINGS, steps=2, accumulate=2), seed=1)
    assert Watched.found == [False] * 4


class Late(Tiny):
    starts: ClassVar[Mapping[str, Sequence[str]]] = {"start": ("weight",), "own_start": ()}

    def __init__(self, start: float, own_start: float = 0.0, weight: float = 1.0) -> None:
        super().__init__()
        self.start, self.own_start, self.weight = start, own_start, weight


@pytest.mark.parametrize(
    ("method", "named"),
    [
        (Late(start=2.0), "model.start: expected an epoch before the end of the training, found 2 in one of 2 epochs"),
        (Late(start=0.0, own_start=7.5), "model.own_start: .*found 7.5 in one of 2 epochs"),
        (Late(start=5 / 3), None),  # the last of six steps
        (Late(start=9.0, weight=0.0), None),  # there is no such loss
    ],
)
def test_a_loss_that_starts_after_the_end_is_warned_of(fabric: Any, method: Late, named: str | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(method, Made(), fabric, replace(SETTINGS, steps=0, epochs=2), seed=1)
    said = [str(one.message) for one in caught if "expected an epoch" in str(one.message)]
    assert len(said) == (named is not None)
    assert not named or re.search(named, said[0])


def test_a_training_that_goes_on_does_not_warn_again(fabric: Any) -> None:
    states: list[TrainingState] = []
    settings = replace(SETTINGS, steps=2)
    with pytest.warns(UserWarning, match="expected an epoch"):
        train(Late(9.0), Made(), fabric, settings, seed=1, on_step=lambda done, snapshot: states.append(snapshot()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(Late(9.0), Made(), fabric, settings, seed=1, state=states[-1])


def test_bf16_autocast_and_channels_last_train_in_float32_weights() -> None:
    from lightning_fabric import Fabric

    mixed = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    method = tiny()
    seen: list[torch.dtype] = []
    method.conv.register_forward_hook(lambda module, given, out: seen.extend([given[0].dtype, out.dtype]))
    result = train(method, Made(), mixed, replace(SETTINGS, channels_last=True), seed=1)
    assert seen[:2] == [torch.float32, torch.bfloat16]
    assert method.conv.weight.dtype == torch.float32
    plain = train(tiny(), Made(), Fabric(accelerator="cpu", devices=1), SETTINGS, seed=1)
    assert result.history[-1]["total"] == pytest.approx(plain.history[-1]["total"], rel=0.02)


def test_settings_need_one_length() -> None:
    with pytest.raises(ConfigurationError, match="either epochs or steps"):
        TrainSettings()
    with pytest.raises(ConfigurationError, match="either epochs or steps"):
        TrainSettings(epochs=1, steps=1)
    assert TrainSettings(epochs=2).total_steps(5) == 10
    assert TrainSettings(epochs=2, warmup_steps=10).total_steps(5) == 10
    with pytest.raises(ConfigurationError, match=r"at most the 10 steps of the training \(2 epochs of 5\), found 11"):
        TrainSettings(epochs=2, warmup_steps=11).total_steps(5)
    for wrong in ({"schedule": "step"}, {"decay_epochs": 2}):
        with pytest.raises(ConfigurationError, match="'step' and decay_epochs above 0 belong together"):
            TrainSettings(steps=1, **wrong)  # type: ignore[arg-type]


def test_the_rate_falls_with_the_epochs(fabric: Any) -> None:
    settings = replace(SETTINGS, steps=6, schedule="step", decay_epochs=1, log_every=1)
    rates = [row["lr"] for row in train(Tiny(), Made(), fabric, settings, seed=1).history]
    assert rates == pytest.approx([0.05] * 3 + [0.005] * 3)
