"""A style loss against a whole collection: how far moments of VGG-19's features are from those of all its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Those that artgan's own style metrics compare, so that the loss and its judge look at the same features.
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
_PARTS = 4  # along each side


def moments(features: Tensor) -> list[Tensor]:
    """The mean and the standard deviation of each channel (Huang and Belongie, 2017), over all and over parts of it.

    Args:
        features: N x C x H x W, sides at least 4; what is left over where 4 does not divide them is not looked at.

    Returns:
        N x 1 x 2C for the whole and N x 16 x 2C for its 4 x 4 parts.
    """
    features = features.float()  # squares of half precision overflow
    part = (features.shape[2] // _PARTS, features.shape[3] // _PARTS)
    of_parts = [F.avg_pool2d(x, part) for x in (features, features.square())]
    sets = []
    for mean, square in ([x.mean((2, 3), keepdim=True) for x in of_parts], of_parts):
        deviation = ((square - mean.square()).clamp_min(0) + 1e-6).sqrt()  # with a slope where nothing varies
        sets.append(torch.cat([mean, deviation], dim=1).flatten(2).transpose(1, 2))
    return sets


class StyleMemory:
    """The moments of the last real and made pictures, and the energy distance between these two sets.

    The energy distance of two distributions, 2 E|x - y| - E|x - x'| - E|y - y'| (Szekely and Rizzo, 2013), is 0 if
    and only if they are the same. Of moments, scaled by how the real pictures' vary, it draws the made pictures to the
    manner of all real ones and not to their mean, which would be one manner for all: made pictures repel one another.

    Args:
        size: pictures remembered of each kind.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.real: list[Tensor] = []
        self.made: list[Tensor] = []

    def remember(self, real: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """Take in sets of moments, N x P x D each; the oldest pictures give way."""
        self.real = self._appended(self.real, real)
        self.made = self._appended(self.made, made)

    def _appended(self, kept: Sequence[Tensor], new: Sequence[Tensor]) -> list[Tensor]:
        new = [moments.detach().float() for moments in new]
        rows = [torch.cat(pair) for pair in zip(kept, new, strict=True)] if kept else new
        return [moments[-self.size :] for moments in rows]

    def loss(self, made: Sequence[Tensor]) -> Tensor:
        """Half the energy distance of pictures to the real ones, as far as it depends on them; the sets' mean.

        Args:
            made: sets of moments, N x P x D each.
        """
        if not self.real or len(self.real[0]) < 2:
            return made[0].new_zeros(())
        return torch.stack([_distance(*sets) for sets in zip(made, self.real, self.made, strict=True)]).mean()

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What is remembered."""
        return {"real": self.real, "made": self.made}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Take it back."""
        self.real, self.made = list(state["real"]), list(state["made"])


def _distance(x: Tensor, real: Tensor, made: Tensor) -> Tensor:
    x, real, made = (rows.flatten(0, 1).float() for rows in (x, real, made))
    scale = real.std(0) + 1e-3 * real.abs().mean()  # a channel that hardly varies must not rule the others
    centre = real.mean(0)
    x, real, made = ((rows - centre) / scale / x.shape[1] ** 0.5 for rows in (x, real, made))
    return _distances(x, real).mean() - _distances(x, made).mean()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean, M x D and N x D to M x N, by a product: the gradient of ``torch.cdist`` takes far longer."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return squares.clamp_min(1e-6).sqrt()
