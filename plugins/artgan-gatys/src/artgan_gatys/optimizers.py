"""Optimizers of one tensor that evaluate each point once and never accept a non-finite loss."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Evaluate = Callable[[Tensor], tuple[float, Tensor]]
"""Maps a point to its loss and gradient."""

_WIDEST = 1 / 32  # cycles per pixel: lower frequencies get no more weight than this one

_log = logging.getLogger(__name__)


class Optimizer(ABC):
    """Improves a point step by step.

    Attributes:
        point: the current point.
        loss: at this point.
        evaluations: number of evaluations so far.
        stuck: whether no step lowers the loss further.
    """

    def __init__(self, evaluate: Evaluate, point: Tensor) -> None:
        self.evaluate = evaluate
        self.point = point.detach().clone()
        self.evaluations = 0
        self.stuck = False
        self.loss, self.gradient = self._at(self.point)
        if not math.isfinite(self.loss):
            raise FloatingPointError("the loss is not finite at the start")

    @abstractmethod
    def step(self) -> None:
        """One iteration."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Everything besides the point that is needed to resume."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave.

        Tensors are copied: on some processors the rounding of a dot product depends on where in memory they begin, and
        those of a file begin anywhere.
        """

    def _at(self, point: Tensor) -> tuple[float, Tensor]:
        self.evaluations += 1
        loss, gradient = self.evaluate(point)
        return (loss if gradient.isfinite().all() else math.nan), gradient


class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu and Nocedal, 1989): one evaluation per iteration if the first try succeeds.

    The first try is the full quasi-Newton step; if it does not lower the loss enough (Armijo's condition) or the loss
    there is not finite, a shorter one is tried.

    Args:
        evaluate: maps a point to loss and gradient.
        point: the starting point.
        history: number of pairs of steps and gradient changes to keep.
        precondition: applies the initial inverse Hessian to a gradient, up to scale: linear, symmetric and positive
            definite.
    """

    _ENOUGH = 1e-4  # Armijo's share of the decrease predicted by the gradient
    _TRIES = 12

    def __init__(
        self,
        evaluate: Evaluate,
        point: Tensor,
        *,
        history: int = 20,
        precondition: Callable[[Tensor], Tensor] = lambda gradient: gradient,
    ) -> None:
        super().__init__(evaluate, point)
        self.history = history
        self.precondition = precondition
        self.steps: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.reach = 0.0  # length of the step to try without a history; 0: unknown

    def step(self) -> None:
        """One iteration; if not even the gradient direction lowers the loss, the optimizer is stuck."""
        if not self.gradient.any():
            self.stuck = True
            return
        direction = self._direction()
        slope = _dot(self.gradient, direction)
        if self.steps and not slope < 0:
            self._forget()
            direction = self._direction()
            slope = _dot(self.gradient, direction)
        # Without a history the scale is unknown. With negative curvature along the step, no pair is added to it.
        length = 1.0 if self.steps else self.reach or min(1.0, 1.0 / float(direction.abs().sum()))
        for _ in range(self._TRIES):
            point = self.point + length * direction
            loss, gradient = self._at(point)
            if math.isfinite(loss) and loss <= self.loss + self._ENOUGH * length * slope:
                self._accept(point, loss, gradient, length * direction)
                self.reach = 2 * length
                return
            if math.isfinite(loss):  # the minimum of the interpolating parabola, within limits
                best = -slope * length**2 / (2 * (loss - self.loss - slope * length))
                length = min(max(best, 0.1 * length), 0.5 * length)
            else:
                _log.warning("the loss was not finite; back to the last good picture, with a smaller step")
                length *= 0.1
        self.stuck = not self.steps
        self._forget()

    def _direction(self) -> Tensor:
        """Minus the inverse Hessian's estimate times the gradient (Nocedal and Wright, algorithm 7.4)."""
        direction = -self.gradient
        weights = []
        pairs = [(s, y, 1 / _dot(s, y)) for s, y in zip(self.steps, self.changes, strict=True)]
        for s, y, rho in reversed(pairs):
            weights.append(rho * _dot(s, direction))
            direction = direction - weights[-1] * y
        direction = self.precondition(direction)
        if pairs:
            s, y, rho = pairs[-1]
            direction = direction / (rho * _dot(y, self.precondition(y)))
        for (s, y, rho), weight in zip(pairs, reversed(weights), strict=True):
            direction = direction + (weight - rho * _dot(y, direction)) * s
        return direction

    def _accept(self, point: Tensor, loss: float, gradient: Tensor, step: Tensor) -> None:
        change = gradient - self.gradient
        # Otherwise the estimate would not stay positive definite.
        if _dot(step, change) > 1e-8 * math.sqrt(_dot(step, step) * _dot(change, change)):
            self.steps = [*self.steps, step][-self.history :]
            self.changes = [*self.changes, change][-self.history :]
        self.point, self.loss, self.gradient = point, loss, gradient

    def _forget(self) -> None:
        self.steps, self.changes, self.reach = [], [], 0.0

    def state_dict(self) -> dict[str, Tensor]:
        """The history."""
        state = {"reach": torch.tensor(self.reach, dtype=torch.float64)}
        state |= {f"step{i}": s for i, s in enumerate(self.steps)}
        return state | {f"change{i}": y for i, y in enumerate(self.changes)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.reach = float(state["reach"])
        count = len(state) // 2
        self.steps = [state[f"step{i}"].clone() for i in range(count)]
        self.changes = [state[f"change{i}"].clone() for i in range(count)]


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015); :attr:`point` is the best point so far.

    After a non-finite loss it returns there, with half the learning rate and without momentum.
    """

    _BETAS = 0.9, 0.999

    def __init__(self, evaluate: Evaluate, point: Tensor, *, lr: float) -> None:
        super().__init__(evaluate, point)
        self.lr = lr
        self._start_at(self.point, self.gradient)

    def _start_at(self, point: Tensor, gradient: Tensor) -> None:
        self.here, self.slope = point, gradient
        self.mean, self.square = torch.zeros_like(point), torch.zeros_like(point)
        self.count = 0

    def step(self) -> None:
        """One iteration."""
        one, two = self._BETAS
        count = self.count + 1
        mean = self.mean.lerp(self.slope, 1 - one)
        square = self.square.lerp(self.slope.square(), 1 - two)
        step = mean / (1 - one**count) / ((square / (1 - two**count)).sqrt() + 1e-8)
        here = self.here - self.lr * step
        loss, slope = self._at(here)  # Ctrl-C arrives here: the state must not have changed before
        self.here, self.slope, self.mean, self.square, self.count = here, slope, mean, square, count
        if not math.isfinite(loss):
            _log.warning("the loss was not finite; back to the best picture so far, with a smaller step")
            self.lr /= 2
            self._start_at(self.point, self.gradient)
        elif loss < self.loss:
            self.point, self.loss, self.gradient = self.here, loss, self.slope

    def state_dict(self) -> dict[str, Tensor]:
        """The current point, the moments, and the learning rate."""
        numbers = torch.tensor([self.count, self.lr], dtype=torch.float64)
        return {"here": self.here, "slope": self.slope, "mean": self.mean, "square": self.square, "numbers": numbers}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.here, self.slope, self.mean, self.square = (state[k].clone() for k in ("here", "slope", "mean", "square"))
        self.count, self.lr = int(state["numbers"][0]), float(state["numbers"][1])


def favor_low_frequencies(gradient: Tensor) -> Tensor:
    """N x C x H x W with each frequency component divided by its frequency (1/f), as in natural images (Field, 1987).

    Gradients of perceptual losses consist mostly of high frequencies, and large areas of color converge last. As the
    initial inverse Hessian of L-BFGS this saves up to half of its iterations; Olah, Mordvintsev and Schubert (2017)
    change the variables for the same purpose.
    """
    height, width = gradient.shape[-2:]
    rows, columns = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    frequency = (rows[:, None].square() + columns.square()).sqrt().to(gradient)
    # MKL as torch 2.6 calls it raises on expanded tensors, whose strides are 0.
    spectrum = torch.fft.rfft2(gradient.contiguous()) * (_WIDEST / (frequency + _WIDEST))
    favored: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return favored


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum()) if a.dtype is torch.float64 else float(torch.dot(a.flatten(), b.flatten()))
