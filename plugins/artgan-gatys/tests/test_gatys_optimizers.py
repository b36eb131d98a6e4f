"""The optimizers against PyTorch's where no step is refused, and what they promise where one is."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable

import pytest
import torch
from artgan_gatys.losses import Objective, StyleTarget, gram
from artgan_gatys.networks import FeatureNetwork
from artgan_gatys.optimizers import LBFGS, Adam, Evaluate, Optimizer, favor_low_frequencies
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

pytestmark = pytest.mark.numerical

Function = Callable[[Tensor], Tensor]


def evaluated(function: Function) -> Evaluate:
    """A point to the function's value and gradient."""

    def evaluate(point: Tensor) -> tuple[float, Tensor]:
        point = point.detach().requires_grad_()
        value = function(point)
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient

    return evaluate


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quadratic(x: Tensor) -> Tensor:
    """Conditioned by 3, with its minimum at 1."""
    return (torch.linspace(1, 3, x.numel(), dtype=x.dtype) * (x.flatten() - 1) ** 2).sum()


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def style_loss() -> Function:
    """A painting's, through two layers of a small network."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU())
    named = {"shallow": layers[1], "deep": layers[4]}
    network = FeatureNetwork(layers, named, (0.5,) * 3, (0.25,) * 3).double().requires_grad_(False)
    photo, style = (network(random(1, 3, 12, 12, seed=seed).clamp(-1, 1), tuple(named)) for seed in (1, 2))
    targets = {layer: [StyleTarget(gram(features))] for layer, features in style.items()}
    weights = dict.fromkeys(named, 0.5)
    objective = Objective(network, "relative", {"deep": photo["deep"]}, targets, weights, (1.0, 20.0, 0.0, 0.0))
    return lambda painting: objective(painting).total


SMOOTH: dict[str, tuple[Function, Tensor]] = {
    "a quadratic": (quadratic, random(20, seed=0)),
    "Rosenbrock's valley": (rosenbrock, torch.tensor([1.05, 0.65, 1.2], dtype=torch.float64)),
    "a painting": (style_loss(), random(1, 3, 12, 12, seed=3).clamp(-1, 1)),
}


def path(optimizer: Optimizer, count: int) -> list[Tensor]:
    points = []
    for _ in range(count):
        optimizer.step()
        points.append(optimizer.point.clone())
    return points


def torch_path(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], function: Function, start: Tensor,
               count: int) -> list[Tensor]:  # fmt: skip
    parameter = nn.Parameter(start.clone())
    optimizer = make([parameter])

    def closure() -> float:
        parameter.grad = None
        value = function(parameter)
        value.backward()
        return value.item()

    points = []
    for _ in range(count):
        optimizer.step(closure)
        points.append(parameter.detach().clone())
    return points


def check_against_torch(ours: list[Tensor], function: Function, start: Tensor, *, history: int) -> None:
    """The points are those of torch's L-BFGS, which refuses no step."""
    theirs = torch_path(
        lambda p: torch.optim.LBFGS(p, lr=1, max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0),
        function, start, len(ours),
    )  # fmt: skip
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


# ---- L-BFGS


@pytest.mark.parametrize("name", SMOOTH)
def test_lbfgs_goes_where_torchs_goes(name: str) -> None:
    function, start = SMOOTH[name]
    optimizer = LBFGS(evaluated(function), start, history=100)
    ours = path(optimizer, 10)
    assert optimizer.evaluations == 1 + 10  # one an iteration: no step was refused, which torch would have taken
    check_against_torch(ours, function, start, history=100)


def test_lbfgs_remembers_only_as_much_as_it_is_told() -> None:
    function, start = SMOOTH["a quadratic"]
    ours = path(LBFGS(evaluated(function), start, history=3), 10)
    check_against_torch(ours, function, start, history=3)


def test_preconditioned_lbfgs_is_torchs_in_other_variables() -> None:
    """With P as the first guess of the inverse Hessian it goes where torch's goes in z, with x = root(P) z."""
    scale = torch.linspace(0.5, 1, 20, dtype=torch.float64)  # P's diagonal

    def function(x: Tensor) -> Tensor:
        return 1e-2 * quadratic(x)  # gradients so small that both begin with a whole step

    start = SMOOTH["a quadratic"][1]
    optimizer = LBFGS(evaluated(function), start, history=100, precondition=lambda gradient: scale * gradient)
    ours = path(optimizer, 7)
    assert optimizer.evaluations == 1 + 7  # no step was refused
    in_z = [point / scale.sqrt() for point in ours]
    check_against_torch(in_z, lambda z: function(scale.sqrt() * z), start / scale.sqrt(), history=100)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (9, 7)])
def test_low_frequencies_are_favored(height: int, width: int) -> None:
    """Waves are multiplied, each by its own factor: 1 for no wave at all, and about 1 / f for short ones."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (height, width)), indexing="ij")
    for across, down in ((0, 0), (1, 0), (0, 2), (3, 2), (-2, 1)):
        wave = torch.cos(2 * math.pi * (across * columns / width + down * rows / height) + 0.3).expand(1, 3, -1, -1)
        frequency = math.hypot(across / width, down / height)
        expected = wave * (1 / 32) / (frequency + 1 / 32)
        assert torch.allclose(favor_low_frequencies(wave), expected, atol=1e-12)


def test_low_frequencies_are_favored_by_a_symmetric_positive_definite_map() -> None:
    units = torch.eye(30, dtype=torch.float64).view(30, 1, 5, 6)
    matrix = favor_low_frequencies(units).flatten(1)
    assert torch.allclose(matrix, matrix.T, atol=1e-14)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_large_areas_take_fewer_iterations_where_low_frequencies_are_favored() -> None:
    """Of a loss of differences between neighbors, whose curvature grows with the square of the frequency."""
    target = random(1, 1, 24, 24, seed=0).cumsum(2).cumsum(3)

    def function(x: Tensor) -> Tensor:
        error = x - target
        return sum((error - error.roll(1, side)).square().sum() for side in (2, 3)) + 1e-3 * error.square().sum()

    losses = []
    for options in ({}, {"precondition": favor_low_frequencies}):
        optimizer = LBFGS(evaluated(function), torch.zeros_like(target), history=10, **options)
        path(optimizer, 30)
        losses.append(optimizer.loss)
    assert losses[1] < losses[0] / 100


def test_lbfgs_finds_the_minimum_of_rosenbrocks_valley_from_afar() -> None:
    start = torch.tensor([-1.2, 1.0, -0.5, 2.0], dtype=torch.float64)
    optimizer = LBFGS(evaluated(rosenbrock), start)
    losses = [optimizer.loss]
    while not optimizer.stuck and len(losses) < 100:
        optimizer.step()
        losses.append(optimizer.loss)
    assert optimizer.evaluations > len(losses)  # some steps were too long
    assert all(after <= before for before, after in itertools.pairwise(losses))
    assert optimizer.loss < 1e-12
    assert torch.allclose(optimizer.point, torch.ones(4, dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_lbfgs_learns_the_curvature_of_a_loss_of_any_size(scale: float) -> None:
    """The least and the largest of the published formulas are as far apart."""
    function, start = SMOOTH["a painting"]
    once, scaled = (LBFGS(evaluated(lambda x, k=k: k * function(x)), start) for k in (1.0, scale))
    path(once, 40)
    path(scaled, 40)
    assert scaled.steps
    assert scaled.loss / scale < 1.5 * once.loss < 0.1 * float(function(start))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    dimensions=st.integers(1, 8),
    condition=st.floats(0, 8),
    scale=st.floats(-6, 6),
    history=st.integers(1, 20),
    seed=st.integers(0, 2**16),
)
def test_the_loss_never_rises(dimensions: int, condition: float, scale: float, history: int, seed: int) -> None:
    """Of quadratics that are conditioned by up to 1e8, of any size."""
    basis, _ = torch.linalg.qr(random(dimensions, dimensions, seed=seed))
    values = 10 ** (scale + condition * torch.linspace(-0.5, 0.5, dimensions, dtype=torch.float64))
    optimizer = LBFGS(
        evaluated(lambda x: (values * (basis @ x) ** 2).sum()), random(dimensions, seed=seed + 1), history=history
    )
    before = first = optimizer.loss
    for _ in range(30):
        optimizer.step()
        assert optimizer.loss <= before
        assert optimizer.loss == evaluated(lambda x: (values * (basis @ x) ** 2).sum())(optimizer.point)[0]
        before = optimizer.loss
    assert optimizer.loss < first


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    border=st.floats(1e-3, 1.5),
    beyond=st.sampled_from([math.nan, math.inf, -math.inf]),
    dimensions=st.integers(1, 5),
    seed=st.integers(0, 2**16),
)
def test_it_never_goes_where_the_loss_is_not_finite(border: float, beyond: float, dimensions: int, seed: int) -> None:
    """A slope that falls towards a border, behind which there is no loss."""
    slope = random(dimensions, seed=seed)

    def function(x: Tensor) -> Tensor:
        return (slope * x).sum() + 0.1 * x.square().sum() + (0 if x.abs().max() < border else beyond) * x.sum()

    optimizer = LBFGS(evaluated(function), torch.zeros(dimensions, dtype=torch.float64))
    before = optimizer.loss
    for _ in range(15):
        optimizer.step()
        assert math.isfinite(optimizer.loss)
        assert optimizer.loss <= before
        assert optimizer.point.abs().max() < border
        before = optimizer.loss
    assert optimizer.loss < 0


def cliff(x: Tensor) -> Tensor:
    """Falls steeply, and from 0.1 on is not a number."""
    return -10 * x.sum() + (0 if x.max() < 0.1 else math.nan) * x.sum()


def test_lbfgs_comes_back_from_what_is_not_finite_with_a_smaller_step(caplog: pytest.LogCaptureFixture) -> None:
    start = torch.zeros(3, dtype=torch.float64)
    optimizer = LBFGS(evaluated(cliff), start)
    optimizer.step()  # by 1/30 of the gradient, 10: over the cliff; then by a tenth of that
    assert torch.allclose(optimizer.point, torch.full((3,), 1 / 30, dtype=torch.float64))
    assert optimizer.evaluations == 3
    [told] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert told.getMessage() == "the loss was not finite; back to the last good picture, with a smaller step"


def test_a_step_that_is_too_long_is_cut_to_the_minimum_of_a_parabola() -> None:
    """On a quadratic along a line, that is the minimum itself."""
    evaluate = evaluated(lambda x: 50 * x.square().sum())
    optimizer = LBFGS(evaluate, torch.tensor([0.004], dtype=torch.float64))
    optimizer.step()  # the first step would lead by 0.4, to -0.396
    assert optimizer.evaluations >= 3
    assert 0 <= optimizer.loss < 50 * 0.004**2
    assert abs(float(optimizer.point)) < 1e-3


def test_where_the_slope_grows_steeper_steps_grow_longer() -> None:
    """On a hilltop no curvature comes up from which the length of a step would follow."""
    optimizer = LBFGS(evaluated(lambda x: -x.square().sum()), torch.full((1000,), 1e-3, dtype=torch.float64))
    path(optimizer, 10)
    assert not optimizer.steps
    assert optimizer.evaluations == 11
    assert optimizer.point.min() > 1


def test_where_it_goes_no_further_down_it_is_stuck() -> None:
    """Upwards on all sides, though the gradient promises otherwise."""

    def evaluate(point: Tensor) -> tuple[float, Tensor]:
        return float(point.abs().sum()), torch.ones_like(point)

    optimizer = LBFGS(evaluate, torch.zeros(2, dtype=torch.float64))
    optimizer.step()
    assert optimizer.stuck
    assert not optimizer.point.any()


def test_at_the_minimum_it_is_stuck() -> None:
    optimizer = LBFGS(evaluated(quadratic), torch.ones(4, dtype=torch.float64))
    optimizer.step()
    assert optimizer.stuck
    assert torch.equal(optimizer.point, torch.ones(4, dtype=torch.float64))


# ---- Adam


@pytest.mark.parametrize("name", SMOOTH)
def test_adam_goes_where_torchs_goes(name: str) -> None:
    function, start = SMOOTH[name]
    optimizer = Adam(evaluated(function), start, lr=0.02)
    ours = []
    for _ in range(10):
        optimizer.step()
        ours.append(optimizer.here)
    theirs = torch_path(lambda p: torch.optim.Adam(p, lr=0.02), function, start, 10)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)
    assert optimizer.evaluations == 11


def test_adams_point_is_the_best_that_it_has_been_to() -> None:
    optimizer = Adam(evaluated(quadratic), random(20, seed=0), lr=0.7)  # so long that it swings
    been = [(optimizer.loss, optimizer.point)]
    for _ in range(30):
        optimizer.step()
        been.append((float(quadratic(optimizer.here)), optimizer.here))
        best = min(been, key=lambda pair: pair[0])
        assert optimizer.loss == best[0]
        assert torch.equal(optimizer.point, best[1])
    assert any(after > before for (before, _), (after, _) in itertools.pairwise(been))


def test_adam_comes_back_to_the_best_point_with_half_the_rate(caplog: pytest.LogCaptureFixture) -> None:
    optimizer = Adam(evaluated(cliff), torch.zeros(3, dtype=torch.float64), lr=0.03)
    path(optimizer, 3)  # the gradient is constant: each step is of the rate's length
    best = optimizer.point
    assert torch.allclose(best, torch.full((3,), 0.09, dtype=torch.float64), atol=1e-6)
    optimizer.step()
    assert torch.equal(optimizer.here, best)
    assert torch.equal(optimizer.point, best)
    assert optimizer.lr == 0.015
    [told] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert told.getMessage() == "the loss was not finite; back to the best picture so far, with a smaller step"
    optimizer.step()  # to 0.105
    optimizer.step()  # to 0.0975, without the momentum of before
    assert torch.allclose(optimizer.point, best + 0.0075, atol=1e-6)
    assert math.isfinite(optimizer.loss)


# ---- both

MAKE: dict[str, Callable[[Evaluate, Tensor], Optimizer]] = {
    "lbfgs": lambda evaluate, point: LBFGS(evaluate, point, history=4),
    "adam": lambda evaluate, point: Adam(evaluate, point, lr=0.1),
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", SMOOTH)
def test_it_goes_on_from_its_state_as_if_it_had_not_stopped(kind: str, name: str) -> None:
    function, start = SMOOTH[name]
    whole = MAKE[kind](evaluated(function), start)
    path(whole, 7)
    stopped = MAKE[kind](evaluated(function), whole.point)
    stopped.load_state_dict({key: value.clone() for key, value in whole.state_dict().items()})
    for one, other in zip(path(whole, 6), path(stopped, 6), strict=True):
        assert torch.equal(one, other)
    assert whole.state_dict().keys() == stopped.state_dict().keys()


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("place", [1, 2, 5, 9])
def test_it_goes_on_from_a_state_that_begins_anywhere_in_memory(kind: str, place: int) -> None:
    """As in a file: the rounding of ``torch.dot`` in float32 depends on it on some processors."""

    def moved(value: Tensor) -> Tensor:
        memory = value.new_empty(value.numel() + place)
        return memory[place:].view(value.shape).copy_(value)

    start = random(2304, seed=0).float()
    whole = MAKE[kind](evaluated(quadratic), start)
    path(whole, 7)
    stopped = MAKE[kind](evaluated(quadratic), whole.point)
    stopped.load_state_dict({key: moved(value) for key, value in whole.state_dict().items()})
    for one, other in zip(path(whole, 6), path(stopped, 6), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", MAKE)
def test_an_interruption_within_a_step_leaves_the_state_of_before(kind: str) -> None:
    """Ctrl-C nearly always comes while the network runs."""
    function, start = SMOOTH["Rosenbrock's valley"]
    evaluate, interrupt = evaluated(function), False

    def interruptible(point: Tensor) -> tuple[float, Tensor]:
        if interrupt:
            raise KeyboardInterrupt
        return evaluate(point)

    optimizer = MAKE[kind](interruptible, start)
    path(optimizer, 5)
    before = {key: value.clone() for key, value in optimizer.state_dict().items()}
    point, interrupt = optimizer.point, True
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert torch.equal(optimizer.point, point)
    after = optimizer.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("kind", MAKE)
def test_the_point_that_it_is_given_is_left_alone(kind: str) -> None:
    start = random(20, seed=0)
    kept = start.clone()
    path(MAKE[kind](evaluated(quadratic), start), 3)
    assert torch.equal(start, kept)


@pytest.mark.parametrize("kind", MAKE)
def test_a_gradient_that_is_not_finite_is_not_accepted(kind: str) -> None:
    """In float32 the way back may overflow where the way there did not."""

    def evaluate(point: Tensor) -> tuple[float, Tensor]:
        return float(-point.sum()), -torch.ones_like(point) * (1 if point.max() < 0.5 else math.inf)

    optimizer = MAKE[kind](evaluate, torch.zeros(3, dtype=torch.float64))
    for _ in range(12):
        optimizer.step()
        assert optimizer.point.isfinite().all()
        assert optimizer.point.max() < 0.5


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_start_without_a_finite_loss_is_refused(kind: str, loss: float) -> None:
    with pytest.raises(FloatingPointError, match="not finite at the start"):
        MAKE[kind](lambda point: (loss, point), torch.zeros(3))
