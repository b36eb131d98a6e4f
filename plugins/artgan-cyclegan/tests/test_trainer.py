"""The step against the formulas of Zhu et al., 2017, and the history of pictures."""

from __future__ import annotations

import copy

import pytest
import torch
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import build
from artgan_cyclegan.trainer import CycleGANTrainer, PicturePool

from artgan.config import parse
from artgan.interfaces import Run


def trainer(**values: object) -> CycleGANTrainer:
    torch.manual_seed(0)
    small = {"width": 4, "blocks": 1, "discriminator_width": 4, "pool": 0, **values}
    config = parse(CycleGANConfig, small, where="test")
    return CycleGANTrainer(build(config), config, Run(steps=10))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for name in ("photos", "paintings")}


def test_the_losses_are_the_papers() -> None:
    subject = trainer()
    before = copy.deepcopy(subject.networks)
    pictures = batch()
    losses = subject.step(pictures, 0)

    to_painting, to_photo = before.generators["paintings"], before.generators["photos"]
    photo, painting = pictures["photos"], pictures["paintings"]
    with torch.no_grad():
        fake = to_painting(photo)
        (judged,) = before.discriminators["paintings"](fake)
        (real,) = before.discriminators["paintings"](painting)
        expected = {
            "generator/paintings": ((judged - 1) ** 2).mean(),
            "cycle/photos": (to_photo(fake) - photo).abs().mean(),
            "cycle/paintings": (to_painting(to_photo(painting)) - painting).abs().mean(),
            "identity/paintings": (to_painting(painting) - painting).abs().mean(),
            "discriminator/paintings": (((real - 1) ** 2).mean() + (judged**2).mean()) / 2,
        }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)
    assert len([name for name in losses if not name.startswith("accuracy/")]) == 8


def test_the_generators_gradient_is_that_of_the_weighted_sum() -> None:
    subject = trainer(lambda_cycle=7.0, lambda_identity=3.0)
    copied = trainer(lambda_cycle=7.0, lambda_identity=3.0)
    pictures = batch()
    subject.step(pictures, 0)
    g, d = copied.networks.generators, copied.networks.discriminators
    total = torch.zeros(())
    for domain, other in (("paintings", "photos"), ("photos", "paintings")):
        fake = g[domain](pictures[other])
        total = total + ((d[domain](fake)[0] - 1) ** 2).mean()
        total = total + 7 * (g[other](fake) - pictures[other]).abs().mean()
        total = total + 3 * (g[domain](pictures[domain]) - pictures[domain]).abs().mean()
    total.backward()
    for ours, theirs in zip(
        subject.networks.generators["paintings"].parameters(), g["paintings"].parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


def test_each_half_moves_its_own_networks() -> None:
    subject = trainer()
    before = copy.deepcopy(subject.networks)
    pictures = batch()
    subject._step_generators(pictures, 0)
    for name, network in before.discriminators.items():
        for old, new in zip(network.parameters(), subject.networks.discriminators[name].parameters(), strict=True):
            assert torch.equal(old, new)
            assert new.grad is None
    painted = copy.deepcopy(subject.networks.generators)
    subject.adversary.step(0, pictures, {})
    for name in painted:
        for old, new in zip(painted[name].parameters(), subject.networks.generators[name].parameters(), strict=True):
            assert torch.equal(old, new)
    moved = subject.networks.discriminators["photos"].parameters()
    assert any(not torch.equal(a, b) for a, b in zip(moved, before.discriminators["photos"].parameters(), strict=True))


@pytest.mark.numerical
def test_observing_once_gives_the_same_losses_as_observing_again() -> None:
    """Without a history the discriminators reuse what the generators' step observed."""
    pictures = batch()
    once, again = trainer(), trainer()
    once._step_generators(pictures, 0)
    made, _ = again._step_generators(pictures, 0)
    ours, theirs = once.adversary.step(0, pictures, {}), again.adversary.step(0, pictures, made)
    assert ours.keys() == theirs.keys()
    for name, loss in ours.items():
        torch.testing.assert_close(loss, theirs[name])


@pytest.mark.slow
@pytest.mark.numerical
def test_generators_learn_in_the_last_of_several_rounds() -> None:
    subject = trainer(discriminator_steps=3, identity_every=2)
    assert subject.rounds == 3
    seen = [subject.step(batch(), index) for index in range(12)]
    assert ["cycle/photos" in figures for figures in seen] == [False, False, True] * 4
    assert ["identity/photos" in figures for figures in seen] == ([False, False, True] + [False] * 3) * 2
    assert all("discriminator/photos" in figures for figures in seen)


@pytest.mark.slow
def test_identity_counts_on_its_steps_only() -> None:
    subject = trainer(identity_every=4)
    named = [any(name.startswith("identity") for name in subject.step(batch(), index)) for index in range(8)]
    assert named == [True, False, False, False, True, False, False, False]


@pytest.mark.numerical
def test_the_pool_returns_half_old_pictures_once_full() -> None:
    torch.manual_seed(0)
    pool = PicturePool(50)
    for value in range(50):
        assert pool.exchange(torch.full((1, 3, 2, 2), float(value)))[0, 0, 0, 0] == value
    old = 0
    for value in range(50, 2050):
        returned = float(pool.exchange(torch.full((1, 3, 2, 2), float(value)))[0, 0, 0, 0])
        assert returned <= value
        old += returned != value
    assert old == pytest.approx(1000, abs=135)  # six standard deviations
    assert len(pool.pictures) == 50


def test_no_pool_passes_pictures_on() -> None:
    pictures = torch.randn(3, 3, 2, 2)
    assert torch.equal(PicturePool(0).exchange(pictures), pictures)


def test_its_state_holds_the_pools() -> None:
    subject, other = trainer(pool=3), trainer(pool=3)
    for index in range(4):
        subject.step(batch(), index)
    other.load_state_dict(subject.state_dict())
    for domain, pool in subject.pools.items():
        assert len(pool.pictures) == 3
        assert all(torch.equal(a, b) for a, b in zip(pool.pictures, other.pools[domain].pictures, strict=True))
