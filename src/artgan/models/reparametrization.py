"""Weights that PyTorch stores in parts, computed as in evaluation: spectral norm, weight norm and pruning."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# torch.nn.utils writes NAME_orig, NAME_u ...; torch.nn.utils.parametrizations writes parametrizations.NAME.original ...
_PART = re.compile(
    r"(?P<module>(?:.+\.)?)parametrizations\.(?P<own>\w+)\.(?P<new>original[01]?|0\._[uv])"
    r"|(?P<old>.+)_(?P<part>orig|mask|u|v|g)"
)
_NEW_PARTS = {"original": "orig", "original0": "g", "original1": "v", "0._u": "u", "0._v": "v"}


def without_reparametrization(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with each weight that is stored in parts replaced by the weight that they give in evaluation.

    Order and all other names stay. Parts that do not fit together are left as they are.
    """
    parts: dict[str, dict[str, str]] = {}
    for name in state:
        if match := _PART.fullmatch(name):
            whole = match["old"] or f"{match['module']}{match['own']}"
            parts.setdefault(whole, {})[match["part"] or _NEW_PARTS[match["new"]]] = name
    weights: dict[str, Tensor] = {}
    replaced: dict[str, str] = {}  # the name of a part to that of the weight
    for whole, names in parts.items():
        weight = _whole({part: state[name] for part, name in names.items()}, state.get(whole))
        if weight is not None:
            weights[whole] = weight
            replaced |= dict.fromkeys(names.values(), whole)
    # A weight takes the place of its first part.
    order = dict.fromkeys(replaced.get(name, name) for name in state)
    return {name: weights[name] if name in weights else state[name] for name in order}


def _whole(parts: Mapping[str, Tensor], stored: Tensor | None) -> Tensor | None:
    """The weight that its parts give; None if they do not fit. ``stored`` is what old files hold beside the parts."""
    found = parts.keys()
    if not all(part.is_floating_point() for part in parts.values()):
        return None
    if found == {"orig", "u", "v"} and stored is None:
        return _spectral(parts["orig"], parts["u"], parts["v"])
    if {"orig", "u"} <= found and stored is not None:  # PyTorch before 1.0 saved the weight itself
        return stored
    if found == {"orig", "mask"} and parts["orig"].shape == parts["mask"].shape:
        return parts["orig"] * parts["mask"]
    if found == {"g", "v"}:
        return _weight_norm(parts["g"], parts["v"])
    return None


def _spectral(weight: Tensor, u: Tensor, v: Tensor) -> Tensor | None:
    """``weight / (u' W v)``, W being the weight as a matrix of outputs and all else, as spectral norm sees it."""
    candidates = []
    for dim in (0, 1) if weight.ndim > 1 else ():  # the outputs come first, but second in transposed convolutions
        matrix = weight.double().movedim(dim, 0).flatten(1)
        if (*matrix.shape,) == (u.numel(), v.numel()):
            product = matrix @ v.double().flatten()
            sigma = torch.dot(u.double().flatten(), product)
            candidates.append((float(sigma / product.norm()), sigma))
    if not candidates:
        return None
    # If both fit, the lengths do not show which one it is, but after power iteration u is the direction of W v.
    first, last = candidates[0], candidates[-1]
    _, sigma = last if last[0] > max(0.9, first[0]) else first
    return (weight.double() / sigma).to(weight.dtype)


def _weight_norm(g: Tensor, v: Tensor) -> Tensor | None:
    """``g v / |v|``, with one norm for each value of ``g``."""
    if g.ndim not in (0, v.ndim) or any(size not in (1, other) for size, other in zip(g.shape, v.shape, strict=False)):
        return None
    over = [dim for dim in range(v.ndim) if g.ndim == 0 or g.shape[dim] == 1]
    if not over:
        return None
    norm: Tensor = torch.linalg.vector_norm(v.double(), dim=over, keepdim=g.ndim > 0)
    weight: Tensor = v.double() * (g.double() / norm)
    return weight.to(v.dtype)
