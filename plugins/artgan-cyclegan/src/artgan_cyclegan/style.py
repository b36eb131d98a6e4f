"""A style loss against a whole collection: the distance of VGG-19 feature moments from those of all its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# The layers of artgan's own style metrics, so that loss and evaluation use the same features.
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
_PARTS = 4  # along each side


def moments(features: Tensor) -> list[Tensor]:
    """The mean and standard deviation of each channel (Huang and Belongie, 2017), over the whole and over its parts.

    Args:
        features: N x C x H x W, sides at least 4; the remainder of a side after division by 4 is ignored.

    Returns:
        N x 1 x 2C for the whole and N x 16 x 2C for its 4 x 4 parts.
    """
    features = features.float()  # squares overflow in half precision
    part = (features.shape[2] // _PARTS, features.shape[3] // _PARTS)
    of_parts = [F.avg_pool2d(x, part) for x in (features, features.square())]
    sets = []
    for mean, square in ([x.mean((2, 3), keepdim=True) for x in of_parts], of_parts):
        deviation = ((square - mean.square()).clamp_min(0) + 1e-6).sqrt()  # with a finite gradient at variance 0
        sets.append(torch.cat([mean, deviation], dim=1).flatten(2).transpose(1, 2))
    return sets


_PLACES = 16  # along each side


def self_similarity_loss(made: Tensor, content: Tensor) -> Tensor:
    """How far the cosine distances among places of two pictures are apart (Kolkin et al., 2019, equation 8); a scalar.

    The distances from each place to all are divided by their sum, so that only their pattern counts: features may
    move, as from a photo's to a painting's, so long as what was alike stays alike.

    Args:
        made: features of N pictures, N x C x H x W, averaged to at most 16 x 16 places.
        content: those of the pictures that they were made of.
    """
    with torch.autocast(made.device.type, enabled=False):  # differences of cosines need float32's precision
        there, here = (_distances_among_places(features.float()) for features in (content, made))
        return (here - there).abs().sum(2).mean()


def _distances_among_places(features: Tensor) -> Tensor:
    """N x P x P, each row with the sum 1."""
    side = min(_PLACES, *features.shape[2:])
    places = F.normalize(F.adaptive_avg_pool2d(features, side).flatten(2), dim=1)
    distances = (1 - places.transpose(1, 2) @ places).clamp_min(0)
    return distances / (distances.sum(2, keepdim=True) + 1e-6)


class StyleMemory:
    """The moments of the last real and generated pictures, and the energy distance between these two sets.

    The energy distance of two distributions, 2 E|x - y| - E|x - x'| - E|y - y'| (Szekely and Rizzo, 2013), is 0 if
    and only if they are equal. On moments, scaled by the spread of the real pictures' moments, it pulls generated
    pictures toward the styles of all real ones instead of their mean, a single style: generated pictures repel one
    another.

    Args:
        size: number of pictures of each kind to keep.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.real: list[Tensor] = []
        self.made: list[Tensor] = []

    def remember(self, real: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """Add sets of moments, N x P x D each; they replace those of the oldest pictures."""
        self.real = self._appended(self.real, real)
        self.made = self._appended(self.made, made)

    def _appended(self, kept: Sequence[Tensor], new: Sequence[Tensor]) -> list[Tensor]:
        new = [moments.detach().float() for moments in new]
        rows = [torch.cat(pair) for pair in zip(kept, new, strict=True)] if kept else new
        return [moments[-self.size :] for moments in rows]

    def loss(self, made: Sequence[Tensor]) -> Tensor:
        """Half the terms of the energy distance that depend on ``made``, averaged over the sets; a scalar.

        Args:
            made: sets of moments of generated pictures, N x P x D each.
        """
        if not self.real or len(self.real[0]) < 2:
            return made[0].new_zeros(())
        with torch.autocast(made[0].device.type, enabled=False):  # so do differences of squares
            return torch.stack([_distance(*sets) for sets in zip(made, self.real, self.made, strict=True)]).mean()

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The kept moments."""
        return {"real": self.real, "made": self.made}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.real, self.made = list(state["real"]), list(state["made"])


def _distance(x: Tensor, real: Tensor, made: Tensor) -> Tensor:
    x, real, made = (rows.flatten(0, 1).float() for rows in (x, real, made))
    scale = real.std(0) + 1e-3 * real.abs().mean()  # a nearly constant channel must not dominate the others
    center = real.mean(0)
    x, real, made = ((rows - center) / scale / x.shape[1] ** 0.5 for rows in (x, real, made))
    return _distances(x, real).mean() - _distances(x, made).mean()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances, M x D and N x D to M x N, by a product: the gradient of ``torch.cdist`` is far slower."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return squares.clamp_min(1e-6).sqrt()
