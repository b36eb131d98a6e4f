"""Frames that follow each other, painted so that they do not flicker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from artgan import images
from artgan.images import Picture
from artgan.painting.manner import Manner
from artgan.painting.network import Network
from artgan.painting.painter import WHERE_NEEDED, paint_batch
from artgan.painting.steady import State, Steady
from artgan.painting.tiles import Tiling


class Frames:
    """Paints frames, one after the other.

    Args:
        network: paints.
        manner: brush, palette and strength.
        options: the model's own, already validated.
        tiling: how frames are divided.
    """

    def __init__(
        self, network: Network, manner: Manner, options: Mapping[str, Any], tiling: Tiling = WHERE_NEEDED
    ) -> None:
        self._network = network
        self._manner = manner
        self._options = options
        self._tiling = tiling
        self._steady = Steady(manner)

    def paint(self, picture: Picture) -> Image.Image:
        """Paint the next frame; see :func:`artgan.painting.paint_batch`."""
        study = self._steady.study(picture.rgb)
        studies = None if self._manner.is_plain else [study]
        [painting] = paint_batch(
            self._network, [picture], tiling=self._tiling, manner=self._manner, studies=studies, **self._options
        )
        if self._manner.brush is not None:
            return painting
        mixed = np.rint(self._steady.mixed(np.asarray(painting.convert("RGB"), np.float32))).clip(0, 255)
        return images.assemble(picture, Image.fromarray(mixed.astype(np.uint8)))

    def state(self) -> State:
        """All that is carried on to the next frame, as arrays by name."""
        return self._steady.state()

    def restore(self, state: State) -> None:
        """Go on from what :meth:`state` returned."""
        self._steady.restore(state)
