"""Content and style losses with published normalizations.

F are a layer's features of the painting, N channels of M positions each, P and S those of the photo and the style;
the Gram matrices are G = F F^T and A = S S^T. The formulas for a content and a style layer:

==============  ==============================  =======================================================
name            content                         style
==============  ==============================  =======================================================
``gatys2016``   sum (F - P)^2 / 2               sum (G - A)^2 / (4 N^2 M^2)
``mean``        sum (F - P)^2 / (N M)           sum (G / M - A / M)^2 / N^2
``neural-style``  sum (F - P)^2 / (N M)         sum (G / (N M) - A / (N M))^2 / N^2
``relative``    sum (F - P)^2 / sum P^2         sum (G / M - A / M)^2 / sum (A / M)^2
==============  ==============================  =======================================================

``gatys2016`` is from Gatys, Ecker and Bethge, 2016 (equations 1 and 4), ``mean`` from their PyTorch code,
``neural-style`` from Johnson's. A style whose size differs from the painting's has its own M. ``relative`` is
independent of the scale of features, so one set of weights fits any network and layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from artgan_gatys.networks import FeatureNetwork

FORMULAS = ("gatys2016", "mean", "neural-style", "relative")


@dataclass(frozen=True)
class Losses:
    """Weighted scalar losses, whose sum is minimized."""

    content: Tensor
    style: Tensor
    tv: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.content + self.style + self.tv

    def values(self) -> tuple[float, float, float]:
        """Content, style and total variation as numbers."""
        return float(self.content.detach()), float(self.style.detach()), float(self.tv.detach())


@dataclass(frozen=True)
class StyleTarget:
    """The target of a style layer's features in one region.

    Attributes:
        gram: the Gram matrix, N x N, divided by the number of positions.
        guide: how much each position of the painting belongs to the region, 1 x 1 x h x w; None: all of it.
        share: of the painting that the region covers.
    """

    gram: Tensor
    guide: Tensor | None = None
    share: float = 1.0


def gram(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """The N x N Gram matrix of 1 x N x h x w features, divided by the number of positions.

    With a guide, 1 x 1 x h x w (Gatys et al., 2017, "Controlling perceptual factors"), the features are first
    multiplied by it, and the sum of its squares counts as the number of positions.
    """
    if guide is None:
        flat = features.flatten(2)[0]
        return flat @ flat.T / flat.shape[1]
    flat = (features * guide).flatten(2)[0]
    return flat @ flat.T / guide.square().sum()


class Objective:
    """The losses of a painting, 1 x 3 x H x W in [-1, 1].

    Args:
        network: computes the features to compare.
        formula: one of ``FORMULAS``.
        content: by layer, the photo's features.
        style: by layer, its regions' targets.
        layer_weights: of the style layers.
        weights: of content, style, the squared and the absolute differences between neighboring pixels.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        formula: str,
        content: Mapping[str, Tensor],
        style: Mapping[str, Sequence[StyleTarget]],
        layer_weights: Mapping[str, float],
        weights: tuple[float, float, float, float],
    ) -> None:
        self.network = network
        self.formula = formula
        self.content = dict(content) if weights[0] else {}
        self.style = dict(style) if weights[1] else {}
        self.layer_weights = layer_weights
        self.weights = weights
        self.layers = tuple(dict.fromkeys([*self.content, *self.style]))

    def __call__(self, painting: Tensor) -> Losses:
        """The weighted losses."""
        features = self.network(painting, self.layers)
        content_weight, style_weight, tv_weight, tv1_weight = self.weights
        content = tv = painting.new_zeros(())
        for layer, photo in self.content.items():
            content = content + content_loss(self.formula, features[layer], photo)
        if tv_weight or tv1_weight:
            squared, absolute = total_variation(painting)
            tv = tv_weight * squared + tv1_weight * absolute
        return Losses(content_weight * content, style_weight * self.style_loss(features), tv)

    def style_loss(self, features: Mapping[str, Tensor]) -> Tensor:
        """The style loss of features by layer, without its weight."""
        loss = next(iter(features.values())).new_zeros(())
        for layer, targets in self.style.items():
            of_regions = torch.stack(
                [t.share * style_loss(self.formula, gram(features[layer], t.guide), t.gram) for t in targets]
            )
            loss = loss + self.layer_weights[layer] * of_regions.sum()
        return loss


def content_loss(formula: str, painting: Tensor, photo: Tensor) -> Tensor:
    """The distance of a layer's features, as in the module's table."""
    distance = (painting - photo).square().sum()
    if formula == "gatys2016":
        return distance / 2
    if formula == "relative":
        return distance / photo.square().sum().clamp_min(1e-12)
    return distance / photo.numel()


def style_loss(formula: str, painting: Tensor, style: Tensor) -> Tensor:
    """The distance of two N x N Gram matrices, each divided by its number of positions."""
    channels = len(style)
    distance = (painting - style).square().sum()
    if formula == "gatys2016":
        return distance / (4 * channels**2)
    if formula == "neural-style":
        return distance / channels**4
    if formula == "relative":
        return distance / style.square().sum().clamp_min(1e-12)
    return distance / channels**2


def total_variation(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Half the sum of squared differences between neighbors, and the sum of absolute ones, for pixels in 0 to 255.

    The first is Johnson's (neural-style), over all pixels except the last row and column.
    """
    pixels = (picture + 1) * 127.5
    right = pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
    below = pixels[..., 1:, :-1] - pixels[..., :-1, :-1]
    return (right.square().sum() + below.square().sum()) / 2, right.abs().sum() + below.abs().sum()


def guides(guide: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A region's guide, 1 x 1 x H x W in [0, 1], at the size of each layer's features."""
    return {layer: F.adaptive_avg_pool2d(guide, (shape[-2], shape[-1])) for layer, shape in shapes.items()}
