"""The style loss, an energy distance to the last real pictures, and the one-sided training that it is for."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import build
from artgan_cyclegan.style import StyleMemory, moments, self_similarity_loss
from artgan_cyclegan.trainer import CycleGANTrainer
from scipy.stats import energy_distance
from support import plain_vgg

from artgan.config import parse
from artgan.interfaces import Run
from artgan.metrics.style import STYLE_LAYERS, statistics


def test_it_is_the_energy_distance() -> None:
    """SciPy's is of one dimension, its square root, and has the two terms that do not depend on x or count it twice."""
    generator = torch.Generator().manual_seed(0)
    real, made = (torch.randn(50, 1, generator=generator) + shift for shift in (10.0, 11.0))
    memory = StyleMemory(100)
    memory.remember([real[:, None]], [made[:, None]])
    scale = float(real.std() + 1e-3 * real.abs().mean())
    within = [float(torch.cdist(x, x).mean()) / scale for x in (made, real)]
    expected = energy_distance(made[:, 0].numpy() / scale, real[:, 0].numpy() / scale) ** 2
    assert 2 * float(memory.loss([made[:, None]])) + within[0] - within[1] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@pytest.mark.numerical
def test_it_draws_to_all_real_pictures_and_not_to_their_mean() -> None:
    """Two kinds of real pictures: what began as one kind becomes both."""
    torch.manual_seed(0)
    real = torch.cat([torch.randn(100, 4) - 5, torch.randn(100, 4) + 5])
    made = torch.nn.Parameter(0.1 * torch.randn(64, 4))
    memory, optimizer = StyleMemory(200), torch.optim.Adam([made], 0.1)
    memory.remember([real[:, None]], [made[:, None]])
    for _ in range(300):
        optimizer.zero_grad()
        memory.loss([made[:, None]]).backward()
        optimizer.step()
        memory.made = [made.detach().clone()[:, None]]
    made = made.detach()
    assert made.mean(0).abs().max() < 1.5
    assert made.std(0).mean() == pytest.approx(float(real.std(0).mean()), rel=0.15)


def test_layers_count_alike_however_wide_they_are() -> None:
    torch.manual_seed(0)
    rows, made = torch.randn(50, 2, 3), torch.randn(5, 2, 3)
    alone, wide = StyleMemory(50), StyleMemory(50)
    alone.remember([rows], [rows + 1])
    wide.remember([rows, 7 * rows.repeat(1, 1, 9)], [rows + 1, 7 * (rows + 1).repeat(1, 1, 9)])
    assert float(wide.loss([made, 7 * made.repeat(1, 1, 9)])) == pytest.approx(float(alone.loss([made])), rel=1e-4)


def test_the_oldest_give_way() -> None:
    memory = StyleMemory(3)
    for number in range(5):
        moments = torch.full((1, 1, 2), float(number))
        memory.remember([moments], [-moments])
    assert memory.real[0][:, 0, 0].tolist() == [2, 3, 4]
    assert memory.made[0][:, 0, 0].tolist() == [-2, -3, -4]


def test_before_there_is_anything_to_compare_with_it_is_0() -> None:
    made = torch.randn(1, 1, 4, requires_grad=True)
    memory = StyleMemory(3)
    assert float(memory.loss([made])) == 0
    memory.remember([torch.randn(1, 1, 4)], [torch.randn(1, 1, 4)])
    assert float(memory.loss([made])) == 0


@pytest.mark.numerical
def test_moments_of_the_whole_are_those_of_the_style_distance() -> None:
    features = torch.rand(2, 5, 16, 12).relu()
    whole, parts = moments(features)
    torch.testing.assert_close(whole[:, 0], statistics([features]), atol=1e-4, rtol=1e-4)
    corner = features[:, :, 4:8, 3:6]  # row 1, column 1 of 4 x 4
    torch.testing.assert_close(parts[:, 5], statistics([corner]), atol=1e-4, rtol=1e-4)
    assert parts.shape == (2, 16, 10)


def test_moments_of_a_channel_that_never_wakes_have_a_gradient() -> None:
    features = torch.zeros(1, 2, 8, 8, requires_grad=True)
    sum(part.sum() for part in moments(features)).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of VGG-19 up to conv4_1."""
    return plain_vgg.write(tmp_path_factory.mktemp("vgg") / "vgg19.safetensors", "vgg19", "conv4_1")


def trainer(vgg19: Path, **values: object) -> CycleGANTrainer:
    torch.manual_seed(0)
    small = {"architecture": "subpixel", "width": 4, "blocks": 1, "discriminator_width": 4, "pool": 0, "loss": "hinge"}
    one_sided = {"discriminator": "projected", "vgg19": str(vgg19), "lambda_cycle": 0.0}
    config = parse(CycleGANConfig, small | one_sided | values, where="test")
    return CycleGANTrainer(build(config), config, Run(steps=10))


def batch(index: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {name: torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for name in ("photos", "paintings")}


def test_without_a_cycle_only_paintings_are_learned(vgg19: Path) -> None:
    subject = trainer(vgg19, lambda_content=2.0, lambda_style=3.0)
    assert list(subject.networks.generators) == list(subject.networks.discriminators) == ["paintings"]
    figures = subject.step(batch(0), 0)
    assert {name.split("/")[0] for name in figures} == {
        *("generator", "content", "style", "identity", "discriminator", "accuracy"),
    }
    assert list(subject.sample(batch(0), subject.networks.generators)) == ["photo", "painting"]


@pytest.mark.numerical
def test_content_and_style_are_their_formulas(vgg19: Path) -> None:
    subject = trainer(vgg19, lambda_content=2.0, lambda_style=3.0)
    subject.step(batch(0), 0)
    before = copy.deepcopy(subject.networks)
    memory = copy.deepcopy(subject.styles["paintings"])
    figures = subject.step(batch(1), 1)
    discriminator = before.discriminators["paintings"]
    with torch.no_grad():
        made = before.generators["paintings"](batch(1)["photos"])
        features = dict(zip(discriminator.features.layers, discriminator.features(made), strict=True))
        there = discriminator.features(batch(1)["photos"])[-1]

    def normalized(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True, correction=0)

    cosine = F.cosine_similarity(normalized(features["conv4_1"]), normalized(there), dim=1)
    assert float(figures["content/paintings"]) == pytest.approx(1 - float(cosine.mean()), abs=1e-4)
    sets = [part for layer in STYLE_LAYERS for part in moments(features[layer])]
    assert float(figures["style/paintings"]) == pytest.approx(float(memory.loss(sets)), rel=1e-3)
    assert len(subject.styles["paintings"].real[0]) == 4  # two steps of two pictures


def test_self_similarity_is_its_formula_and_does_not_see_what_moves_all_places_alike() -> None:
    """Kolkin et al., 2019, equation 8, written place by place."""
    generator = torch.Generator().manual_seed(0)
    made, content = (torch.rand(1, 5, 3, 3, generator=generator) for _ in range(2))

    def distances(features: torch.Tensor) -> list[list[float]]:
        places = features[0].flatten(1).T
        rows = [[1 - float(F.cosine_similarity(a, b, dim=0)) for b in places] for a in places]
        return [[value / sum(row) for value in row] for row in rows]

    pairs = zip(distances(made), distances(content), strict=True)
    expected = sum(abs(a - b) for row, other in pairs for a, b in zip(row, other, strict=True)) / 9
    assert float(self_similarity_loss(made, content)) == pytest.approx(expected, rel=1e-3)
    assert float(self_similarity_loss(3 * content, content)) == pytest.approx(0, abs=1e-5)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator))[0]  # of colors into others, say
    turned = torch.einsum("dc,nchw->ndhw", rotation, content)
    assert float(self_similarity_loss(turned, content)) == pytest.approx(0, abs=1e-4)


@pytest.mark.numerical
def test_the_losses_of_a_finisher_are_their_formulas(vgg19: Path) -> None:
    subject = trainer(vgg19, lambda_content=2.0, content="self-similarity", lambda_color=5.0, input_is_fake=True)
    before = copy.deepcopy(subject.networks)
    figures = subject.step(batch(0), 0)
    photos, discriminator = batch(0)["photos"], before.discriminators["paintings"]
    with torch.no_grad():
        made = before.generators["paintings"](photos)
        averaged = [x.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)) for x in (made, photos)]
        seen = [discriminator.content(x) for x in (made, photos)]
        fakes = torch.cat([made, photos])  # both halves of what is not real
        logits = [discriminator.judge(discriminator.observe(x)) for x in (batch(0)["paintings"], fakes)]
    assert float(figures["color/paintings"]) == pytest.approx(
        float((averaged[0] - averaged[1]).square().mean()), rel=1e-3
    )
    assert float(figures["content/paintings"]) == pytest.approx(float(self_similarity_loss(*seen)), rel=1e-3)
    hinge = sum(F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(*logits, strict=True))
    assert float(figures["discriminator/paintings"]) == pytest.approx(float(hinge), rel=1e-2)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.numerical
def test_a_heavier_style_loss_paints_nearer_to_the_paintings(vgg19: Path) -> None:
    """Photos are dark, paintings bright: 20 steps, with and without."""

    def brightness(weight: float) -> float:
        subject = trainer(vgg19, lambda_style=weight, lambda_identity=0.0, lr=3e-3, lr_discriminator=1e-9)
        for index in range(20):
            pictures = {
                "photos": batch(index)["photos"] * 0.2 - 0.5,
                "paintings": batch(-index - 1)["paintings"] * 0.2 + 0.5,
            }
            subject.step(pictures, index)
        with torch.no_grad():
            return float(subject.networks.generators["paintings"](pictures["photos"]).mean())

    assert brightness(50.0) > brightness(0.0) + 0.1


def test_the_memory_is_part_of_a_checkpoint(vgg19: Path) -> None:
    subject, other = trainer(vgg19, lambda_style=1.0), trainer(vgg19, lambda_style=1.0)
    subject.step(batch(0), 0)
    other.load_state_dict(subject.state_dict())
    for kept, found in zip(subject.styles["paintings"].real, other.styles["paintings"].real, strict=True):
        assert torch.equal(kept, found)


def test_what_needs_vgg19_says_so() -> None:
    with pytest.raises(ValueError, match="discriminator projected"):
        CycleGANConfig(lambda_style=1.0)
    with pytest.raises(ValueError, match="not with diffaugment"):
        CycleGANConfig(discriminator="projected", lambda_content=1.0, diffaugment="color")
