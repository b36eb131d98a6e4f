"""Noise distributions by name: ``normal(0,1)``, ``uniform(-1,1)``, ...

Imports torch only to draw numbers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_FORMS = {
    "normal": "normal(MEAN,VARIANCE)",
    "truncated": "truncated(MEAN,VARIANCE,BOUND)",
    "uniform": "uniform(LOW,HIGH)",
    "gamma": "gamma(SHAPE,SCALE)",
}
_CALL = re.compile(r"\s*([a-z]+)\s*\(([^()]*)\)\s*")
_LIMIT = 1e6  # beyond it, float32 has hardly any fractional digits


@dataclass(frozen=True)
class Noise:
    """A distribution of independent numbers.

    ``normal(MEAN,VARIANCE)``; ``truncated(MEAN,VARIANCE,BOUND)``, the same normal distribution restricted to BOUND
    standard deviations around the mean (Brock et al., 2019); ``uniform(LOW,HIGH)``; ``gamma(SHAPE,SCALE)``, whose mean
    is SHAPE * SCALE.

    Attributes:
        kind: "normal", "truncated", "uniform" or "gamma".
        numbers: its parameters, in the order above; each at most 1e6 in absolute value.

    Raises:
        ValueError: the distribution is unknown or its parameters are invalid.
    """

    kind: str
    numbers: tuple[float, ...]

    def __post_init__(self) -> None:
        form = _FORMS.get(self.kind)
        if form is None:
            raise ValueError(f"unknown noise {self.kind!r}; known: {', '.join(_FORMS.values())}")
        if len(self.numbers) != form.count(",") + 1:
            raise ValueError(f"noise {self}: write {form}")
        if any(not abs(number) <= _LIMIT for number in self.numbers):  # also rejects NaN
            raise ValueError(f"noise {self}: numbers must be finite, and at most {_LIMIT:g}")
        first, second, *bound = self.numbers
        if self.kind == "uniform" and not first < second:
            raise ValueError(f"noise {self}: LOW must be less than HIGH")
        if self.kind == "gamma" and not (first > 0 and second > 0):
            raise ValueError(f"noise {self}: SHAPE and SCALE must be greater than 0")
        if self.kind in ("normal", "truncated") and not second > 0:
            raise ValueError(f"noise {self}: VARIANCE must be greater than 0")
        if bound and not bound[0] > 0:
            raise ValueError(f"noise {self}: BOUND must be greater than 0")

    @classmethod
    def parse(cls, text: str) -> Noise:
        """Parse a string like ``normal(0,1)``.

        Raises:
            ValueError: the string is malformed or names an unknown distribution; the message lists the known ones.
        """
        call = _CALL.fullmatch(text)
        if call is None:
            raise ValueError(f"noise {text!r}: write {' or '.join(_FORMS.values())}")
        try:
            numbers = tuple(float(number) for number in call[2].split(","))
        except ValueError:
            raise ValueError(
                f"noise {text!r}: {call[2]!r} are not numbers; write {_FORMS.get(call[1], text)}"
            ) from None
        return cls(call[1], numbers)

    def __str__(self) -> str:
        return f"{self.kind}({','.join(f'{number:.12g}' for number in self.numbers)})"

    @property
    def mean(self) -> float:
        """The mean of each number."""
        first, second, *_ = self.numbers
        return {"uniform": (first + second) / 2, "gamma": first * second}.get(self.kind, first)

    @property
    def variance(self) -> float:
        """The variance of each number."""
        first, second, *bound = self.numbers
        if self.kind == "uniform":
            return (second - first) ** 2 / 12
        if self.kind == "gamma":
            return first * second**2
        if self.kind == "truncated":
            density = math.exp(-(bound[0] ** 2) / 2) / math.sqrt(2 * math.pi)
            return second * (1 - 2 * bound[0] * density / math.erf(bound[0] / math.sqrt(2)))
        return second

    def draw(self, count: int, size: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw noise vectors: ``count`` x ``size``, float32, on the CPU.

        Args:
            count: the number of vectors.
            size: their length.
            generator: of random numbers, on the CPU; None: torch's global one.
        """
        import torch

        first, second, *bound = self.numbers
        if self.kind == "uniform":
            return torch.rand(count, size, generator=generator) * (second - first) + first
        if self.kind == "gamma":
            import numpy as np

            # Torch's gamma sampler accepts a generator only through private functions.
            seed = int(torch.randint(2**63 - 1, (), generator=generator))
            drawn = np.random.default_rng(seed).gamma(first, second, (count, size))
            return torch.from_numpy(drawn.astype(np.float32))
        if self.kind == "truncated":  # by inverse transform sampling
            within = math.erf(bound[0] / math.sqrt(2))
            uniform = torch.rand(count, size, generator=generator, dtype=torch.float64)
            standard: torch.Tensor = torch.special.ndtri((1 - within) / 2 + within * uniform)
            return (standard.clamp(-bound[0], bound[0]) * math.sqrt(second) + first).float()
        return torch.randn(count, size, generator=generator) * math.sqrt(second) + first
