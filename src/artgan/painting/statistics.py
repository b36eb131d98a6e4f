"""Means and variances of a whole picture at each instance norm, measured while parts of it are painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from artgan.errors import PictureError
from artgan.painting.network import Features, Moments, Network, Pictures, Place

Kept: TypeAlias = "tuple[int, int, int]"
"""Along an axis, in pixels: start and end of the part that counts, and the length of what is painted."""


class _Measured(BaseException):
    """Ends a forward pass after a norm has been measured. A BaseException, so that no error handler catches it."""


class WholePictureStatistics:
    """What the instance norms of a network use for every part of a picture.

    Measured in passes over all parts: :meth:`run` for each part, then :meth:`settle`, until there is nothing left to
    settle. The last pass is the one that paints. Statistics are stored per call, in the order of the calls in the
    forward pass, so a norm may be used twice.

    Attributes:
        all_at_once: whether the next part is the only one, so that no forward pass has to stop at a norm.
    """

    def __init__(self, network: Network) -> None:
        self.all_at_once = False
        self._network = network
        self._found: list[Moments] = []  # of each call
        self._measured: Moments | None = None  # of the next call, so far
        self._kept: Sequence[Kept] = ()

    def run(
        self, pictures: Pictures, kept: Sequence[Kept], options: Mapping[str, Any], places: Sequence[Place]
    ) -> Pictures | None:
        """Paint a part of the picture, up to the first norm without statistics.

        Args:
            pictures: the part, or several of one size.
            kept: which of its rows and columns count.
            options: the model's own.
            places: where each part lies in the picture.

        Returns:
            The painting; None if there was such a norm, which has now been measured.

        Raises:
            PictureError: a feature map's size is not a whole number of values per stride.
        """
        self._kept = kept
        try:
            return self._network.paint_part(pictures, self._at, options, places)
        except _Measured:
            return None

    def settle(self) -> bool:
        """Turn the measurements of a norm over all parts into its statistics; False if nothing was measured."""
        if self._measured is None:
            return False
        self._found.append(self._measured)
        self._measured = None
        return True

    def _at(self, call: int, features: Features) -> Moments:
        if call == len(self._found):
            windows = [self._scaled(kept, length) for kept, length in zip(self._kept, features.size, strict=True)]
            self._measured = _merged(self._measured, features.moments(*windows))
            if not self.all_at_once:
                raise _Measured
            self.settle()
        return self._found[call]

    def _scaled(self, kept: Kept, length: int) -> slice:
        """The kept part, scaled to a feature map of this length."""
        start, stop, painted = kept
        if length * self._network.stride % painted:
            raise PictureError(
                f"this model cannot paint in tiles: of {painted} pixels it makes a feature map of {length}, "
                f"which does not divide by its stride of {self._network.stride} pixels"
            )
        return slice(start * length // painted, stop * length // painted)


def _merged(before: Moments | None, part: Moments) -> Moments:
    """The moments of two disjoint parts together (Chan et al., 1979)."""
    if before is None:
        return part
    count = before.count + part.count
    share = before.count / count
    off = before.mean - part.mean
    variance = part.variance + share * (before.variance - part.variance) + share * (1 - share) * off**2
    return Moments(count, part.mean + share * off, variance)
