"""What painting in a style is trained on: distances of VGG-19's features from the photo's and from the style's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from artgan_anystyle.networks import moments

STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
CONTENT_LAYER = "conv4_1"
SLICED_LAYERS = ("conv1_1", "conv2_1", "conv3_1")
_DIRECTIONS = 64
_PLACES = 4096  # of a layer that are compared; of more, those on a coarser grid


def content_distance(made: Tensor, photo: Tensor) -> Tensor:
    """1 - the correlation of each channel of N x C x h x w features with the photo's, averaged; 0 to 2.

    Means and deviations of channels, which are the style, do not count (Huang and Belongie, 2017).
    """
    one, other = (F.instance_norm(x.float()) for x in (made, photo))
    return (one - other).square().mean() / 2


def gram(features: Tensor) -> Tensor:
    """The Gram matrices of N x C x h x w features, N x C x C, divided by the number of positions.

    In mixed precision the products are summed in the features' precision.
    """
    rows = features.movedim(1, -1).flatten(1, 2)  # without a copy, if they are in channels-last order
    return (rows.transpose(1, 2) @ rows).float() / rows.shape[1]


def gram_distance(made: Tensor, style: Tensor) -> Tensor:
    """log(1 + |G - A| / |A|) of the Gram matrices (Frobenius norms), averaged over N; 0 if equal.

    The logarithm keeps styles of little energy, a black picture say, from outweighing all others.
    """
    return _relative(gram(made).flatten(1), gram(style).flatten(1))


def moments_distance(made: Tensor, style: Tensor) -> Tensor:
    """The same of the vectors of the channels' means and deviations."""
    return _relative(torch.cat(moments(made), dim=1), torch.cat(moments(style), dim=1))


def sliced_distance(made: Tensor, style: Tensor) -> Tensor:
    """The sliced Wasserstein distance of N x C x h x w features, relative to the style's spread (Heitz et al., 2021).

    Along each of 64 random directions, values are sorted, and those of equal rank compared.
    """
    ours, wanted = (_few(x.float()).flatten(2) for x in (made, style))
    directions = F.normalize(torch.randn(_DIRECTIONS, ours.shape[1], device=ours.device), dim=1)
    ours, wanted = ((directions @ rows).sort(dim=2).values for rows in (ours, wanted))
    return ((ours - wanted).abs().mean((1, 2)) / (wanted.abs().mean((1, 2)) + 1e-3)).mean()


_DISTANCES = {
    "gram": (STYLE_LAYERS, gram_distance),
    "moments": (STYLE_LAYERS, moments_distance),
    "sliced": (SLICED_LAYERS, sliced_distance),
}


def style_losses(made: Mapping[str, Tensor], style: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """The distances of features by layer, averaged over the layers.

    Args:
        made: the painting's.
        style: the style's.
        names: some of ``gram``, ``moments`` and ``sliced``.
    """
    losses = {}
    for name in names:
        layers, distance = _DISTANCES[name]
        losses[name] = torch.stack([distance(made[layer], style[layer]) for layer in layers]).mean()
    return losses


def _relative(ours: Tensor, wanted: Tensor) -> Tensor:
    apart = (ours - wanted).square().sum(1) / wanted.square().sum(1).clamp_min(1e-6)
    return (apart + 1e-6).sqrt().log1p().mean()


def _few(features: Tensor) -> Tensor:
    by = 1
    while features.shape[2] * features.shape[3] // by**2 > _PLACES:
        by *= 2
    return features if by == 1 else features[:, :, ::by, ::by]
