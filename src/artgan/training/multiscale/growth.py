"""How far a progressively growing GAN has grown, by the number of the step alone. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Growth:
    """The schedule of Karras et al., 2018: each resolution has a phase of the same length.

    In the first part of its phase a resolution is faded in; the first resolution is there from the start.

    Attributes:
        resolutions: how many there are, 2 or more.
        phase_steps: the length of a phase; the last one lasts until the run ends.
        fade_in: the share of a phase, 0 to 1, in which a resolution is faded in.
    """

    resolutions: int
    phase_steps: int
    fade_in: float

    @property
    def fade_steps(self) -> int:
        """The steps in which a resolution is faded in."""
        return round(self.fade_in * self.phase_steps)

    @property
    def complete_after(self) -> int:
        """The number of steps after which all resolutions are there in full."""
        return (self.resolutions - 1) * self.phase_steps + max(self.fade_steps, 1)

    @property
    def phase_ends(self) -> frozenset[int]:
        """The numbers of steps after which a phase is over, except the last."""
        return frozenset(phase * self.phase_steps for phase in range(1, self.resolutions))

    def level(self, step: int) -> float:
        """The level of the step, counted from 0; see :func:`placed`.

        The share of a resolution grows linearly, and is 1 for the first time in the last step of its fade-in.
        """
        phase = min(step // self.phase_steps, self.resolutions - 1)
        if phase == 0:
            return 0.0
        into = step - phase * self.phase_steps + 1
        return phase if into >= self.fade_steps else phase - 1 + into / self.fade_steps


def placed(level: float) -> tuple[int, float]:
    """What a level says: the number of the highest resolution, and its share, above 0 to 1.

    Level 3 is resolution number 3 in full; level 2.25 is a quarter of it, and three quarters of number 2, enlarged.
    """
    top = math.ceil(level)
    return top, 1 - (top - level)
