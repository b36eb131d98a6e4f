"""Weights stored in parts against the weights that PyTorch's own layers compute in evaluation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune

from artgan.models.reparametrization import without_reparametrization

WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "spectral": nn.utils.spectral_norm,
    "spectral, parametrized": parametrizations.spectral_norm,
    "weight": nn.utils.weight_norm,
    "weight of all": lambda layer: nn.utils.weight_norm(layer, dim=None),
    "weight, second dimension": lambda layer: nn.utils.weight_norm(layer, dim=1),
    "weight, parametrized": parametrizations.weight_norm,
    "pruned": lambda layer: prune.random_unstructured(layer, "weight", amount=0.5),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [(6, 6), (2, 5)])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_the_weight_is_that_of_evaluation(way: str, channels: tuple[int, int], kind: type[nn.Module]) -> None:
    """A square kernel does not show by its shape which dimension counts the outputs; spectral norm's vectors do."""
    torch.manual_seed(0)
    net = nn.Sequential(WAYS[way](kind(*channels, 3)), nn.ReLU())
    for _ in range(20):
        net(torch.rand(2, channels[0], 8, 8))
    net.eval()(torch.rand(2, channels[0], 8, 8))
    state = without_reparametrization(net.state_dict())
    assert state.keys() == {"0.weight", "0.bias"}
    assert torch.allclose(state["0.weight"], net[0].weight, atol=1e-6)


def test_parts_that_do_not_fit_together_stay() -> None:
    one, two = torch.ones(2, 3), torch.ones(2)
    for state in (
        {"a_orig": one, "a_u": two, "a_v": two},
        {"a_orig": one, "a_u": two},
        {"a_u": two, "a_v": two},
        {"a_g": torch.ones(5, 1), "a_v": one},
        {"a_orig": one, "a_mask": two},
        {"parametrizations.a.original0": one},
    ):
        assert without_reparametrization(state) == state
    assert list(without_reparametrization({"a": two, "b_g": torch.ones(2, 1), "b_v": one, "c": two})) == ["a", "b", "c"]
    pruned = without_reparametrization({"a_orig": 2 * one, "a_mask": torch.eye(2, 3)})
    assert torch.equal(pruned["a"], 2 * torch.eye(2, 3))
    before_1_0 = without_reparametrization({"a": one, "a_orig": 2 * one, "a_u": two})
    assert before_1_0.keys() == {"a"}
    assert torch.equal(before_1_0["a"], one)


_NAMES = [f"{base}{part}" for base in ("a", "m.a") for part in ("", "_orig", "_mask", "_u", "_v", "_g")]
_NAMES += [f"parametrizations.a.{part}" for part in ("original", "original0", "original1", "0._u", "0._v")]
_SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)
_DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(_NAMES), st.tuples(_SHAPES, _DTYPES)))
@example({f"a_{part}": ((3,) if part == "orig" else (1,), torch.float32) for part in ("orig", "u", "v")})
def test_parts_of_any_shapes_raise_nothing_and_touch_nothing_else(
    kinds: dict[str, tuple[tuple[int, ...], torch.dtype]],
) -> None:
    state = {name: torch.ones(shape, dtype=dtype) for name, (shape, dtype) in kinds.items()}
    made = without_reparametrization(state)
    for name, value in made.items():
        assert value is state.get(name) or name in ("a", "m.a")
    for name in state.keys() - made.keys():
        assert name not in ("a", "m.a")
