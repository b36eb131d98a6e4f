"""Losses, penalties, augmentation and spectral norm against the papers' formulas and closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from artgan.config import parse
from artgan.errors import ConfigError
from artgan.interfaces import Discriminator, Run, minimize
from artgan.training.adversarial import Adversary, adam, normalize_spectrally
from artgan.training.augment import augment, augment_together
from artgan.training.losses import accuracy, discriminator_loss, generator_loss, r1_penalty
from artgan.training.options import AdversarialOptions

pytestmark = pytest.mark.numerical


class Linear(Discriminator):
    """D(x) = w . x + b: everything about it has a closed form."""

    def __init__(self, pixels: int = 12) -> None:
        super().__init__()
        self.layer = nn.Linear(pixels, 1)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        return (self.layer(observed[0].flatten(1)),)


def options(**values: object) -> AdversarialOptions:
    return parse(AdversarialOptions, values, where="test")


def test_losses_are_the_papers() -> None:
    real, fake = [torch.tensor([2.0, -1.0])], [torch.tensor([0.5, -3.0])]
    assert discriminator_loss("lsgan", real, fake) == pytest.approx(((1 + 4) / 2 + (0.25 + 9) / 2) / 2)
    assert discriminator_loss("hinge", real, fake) == pytest.approx((0 + 2) / 2 + (1.5 + 0) / 2)
    assert generator_loss("lsgan", fake) == pytest.approx((0.25 + 16) / 2)
    assert generator_loss("hinge", fake) == pytest.approx(1.25)
    assert discriminator_loss("hinge", real * 2, fake * 2) == 2 * discriminator_loss("hinge", real, fake)

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected = -(math.log(sigmoid(2)) + math.log(sigmoid(-1))) / 2
    expected -= (math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(-3))) / 2
    assert float(discriminator_loss("nonsaturating", real, fake)) == pytest.approx(expected)
    assert float(generator_loss("nonsaturating", fake)) == pytest.approx(
        -(math.log(sigmoid(0.5)) + math.log(sigmoid(-3))) / 2
    )
    for kind in ("lsgan", "hinge", "nonsaturating"):
        assert float(accuracy(kind, real, fake)) == pytest.approx((1 / 2 + 1 / 2) / 2)
    for loss in (lambda: discriminator_loss("wgan", real, fake), lambda: generator_loss("wgan", fake)):
        with pytest.raises(ValueError, match="wgan"):
            loss()


def test_the_gradient_of_each_generator_loss() -> None:
    """-log s(f): s(f) - 1; (f - 1)^2: 2 (f - 1); -f: -1."""
    for kind, slope in (
        ("nonsaturating", lambda f: 1 / (1 + math.exp(-f)) - 1),
        ("lsgan", lambda f: 2 * (f - 1)),
        ("hinge", lambda f: -1.0),
    ):
        for value in (-2.0, 0.3, 4.0):
            logit = torch.tensor([value], requires_grad=True)
            generator_loss(kind, [logit]).backward()
            assert float(logit.grad) == pytest.approx(slope(value), abs=1e-6), (kind, value)


def test_the_gradient_of_each_discriminator_loss() -> None:
    """Of a real logit r and a generated one f, with labels a and b; hinge: where they are within the margin."""

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    for kind, (a, b), slope_real, slope_fake in (
        ("nonsaturating", (1.0, 0.0), lambda r: sigmoid(r) - 1, sigmoid),
        ("nonsaturating", (0.8, 0.1), lambda r: sigmoid(r) - 0.8, lambda f: sigmoid(f) - 0.1),
        ("lsgan", (1.0, 0.0), lambda r: r - 1, lambda f: f),
        ("lsgan", (0.9, 0.2), lambda r: r - 0.9, lambda f: f - 0.2),
        ("hinge", (1.0, 0.0), lambda r: -1.0 if r < 1 else 0.0, lambda f: 1.0 if f > -1 else 0.0),
    ):
        for value in (-2.0, -0.4, 0.3, 4.0):
            real, fake = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for _ in range(2))
            discriminator_loss(kind, [real], [fake], real_label=a, fake_label=b).backward()
            assert float(real.grad) == pytest.approx(slope_real(value), abs=1e-12), (kind, value)
            assert float(fake.grad) == pytest.approx(slope_fake(value), abs=1e-12), (kind, value)


def test_smoothed_labels() -> None:
    """Salimans et al., 2016: the best logit of a real picture is log(a / (1 - a)), of any discriminator."""
    best = torch.tensor([math.log(0.9 / 0.1)], requires_grad=True)
    low = torch.tensor([math.log(0.1 / 0.9)], requires_grad=True)
    loss = discriminator_loss("nonsaturating", [best], [low], real_label=0.9, fake_label=0.1)
    loss.backward()
    assert float(best.grad) == pytest.approx(0, abs=1e-6)
    assert float(low.grad) == pytest.approx(0, abs=1e-6)
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert float(loss) == pytest.approx(2 * entropy, rel=1e-5)
    exact = discriminator_loss("lsgan", [torch.tensor([0.9])], [torch.tensor([0.1])], real_label=0.9, fake_label=0.1)
    assert float(exact) == pytest.approx(0, abs=1e-12)


def test_r1_of_a_linear_discriminator_is_its_squared_weight() -> None:
    discriminator = Linear()
    penalty = r1_penalty(discriminator, torch.randn(5, 3, 2, 2))
    torch.testing.assert_close(penalty, discriminator.layer.weight.square().sum())
    # gamma / 2 |w|^2 has the gradient gamma w.
    (3.0 / 2 * penalty).backward()
    torch.testing.assert_close(discriminator.layer.weight.grad, 3.0 * discriminator.layer.weight.detach())


def test_r1_of_a_quadratic_discriminator() -> None:
    """D(x) = |x|^2 / 2 has the gradient x."""
    real = torch.randn(4, 3, 2, 2)
    penalty = r1_penalty(lambda x: (x.flatten(1).square().sum(1, keepdim=True) / 2,), real)
    torch.testing.assert_close(penalty, real.square().flatten(1).sum(1).mean())


def test_r1_counts_lazily_and_as_much_in_the_mean() -> None:
    """With zero pictures the penalty alone moves w: by r1_every times gamma w on every r1_every-th update."""
    torch.manual_seed(0)
    discriminator = Linear()
    adversary = Adversary({"a": discriminator}, options(r1=2.0, r1_every=4), Run(8))
    adversary.optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.01)
    nothing = torch.zeros(2, 3, 2, 2)
    before = discriminator.layer.weight.detach().clone()
    for index in range(8):
        figures = adversary.step(index, {"a": nothing}, {"a": nothing})
        assert ("r1/a" in figures) == (index % 4 == 0)
        factor = 1 - 0.01 * 4 * 2.0 if index % 4 == 0 else 1.0
        before = before * factor
        torch.testing.assert_close(discriminator.layer.weight.detach(), before)


def test_the_discriminators_learn_and_the_made_pictures_are_not_touched() -> None:
    torch.manual_seed(0)
    adversary = Adversary({"a": Linear()}, options(lr_discriminator=0.05), Run(50))
    real, made = torch.full((4, 3, 2, 2), 0.5), torch.full((4, 3, 2, 2), -0.5, requires_grad=True)
    for index in range(50):
        figures = adversary.step(index, {"a": real}, {"a": made})
    assert figures["accuracy/a"] == 1
    assert made.grad is None
    assert not figures["discriminator/a"].requires_grad


class Reconstructing(Linear):
    """It also reconstructs 2 x 2 pictures: its auxiliary loss is the squared difference of the real ones from z."""

    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.zeros(3, 2, 2))

    def auxiliary_loss(self, observed: Sequence[Tensor]) -> Tensor:
        return (self.z - observed[0]).square().sum((1, 2, 3)).mean()


def test_an_auxiliary_loss_is_of_real_pictures_and_is_added() -> None:
    """One step of gradient descent moves z by 2 (real - z) times the rate, and w as without the auxiliary loss."""
    plain, discriminator = Linear(), Reconstructing()
    discriminator.layer.load_state_dict(plain.layer.state_dict())
    real, made = torch.full((2, 3, 2, 2), 0.5), torch.full((2, 3, 2, 2), -0.5)
    for subject in (plain, discriminator):
        adversary = Adversary({"a": subject}, options(loss="hinge"), Run(1))
        adversary.optimizer = torch.optim.SGD(subject.parameters(), lr=0.1)
        figures = adversary.step(0, {"a": real}, {"a": made})
        assert ("auxiliary/a" in figures) == (subject is discriminator)
    assert float(figures["auxiliary/a"]) == pytest.approx(12 * 0.5**2)
    torch.testing.assert_close(discriminator.z.detach(), torch.full((3, 2, 2), 0.1 * 2 * 0.5))
    torch.testing.assert_close(discriminator.layer.weight, plain.layer.weight)


def test_learning_rates_are_apart() -> None:
    some = options(lr=1e-3, lr_discriminator=4e-3, beta1=0.1, beta2=0.9)
    adversary = Adversary({"a": Linear()}, some, Run(1))
    assert adversary.optimizer.param_groups[0]["lr"] == 4e-3
    generators = adam([nn.Linear(2, 2)], some)
    assert generators.param_groups[0]["lr"] == 1e-3
    assert generators.param_groups[0]["betas"] == (0.1, 0.9)


def test_a_discriminator_is_skipped_while_its_loss_is_under_the_bound() -> None:
    torch.manual_seed(0)
    discriminator = Linear()
    adversary = Adversary({"a": discriminator}, options(skip_below=0.5, lr=0.05), Run(1))
    real, made = torch.full((4, 3, 2, 2), 0.5), torch.full((4, 3, 2, 2), -0.5)
    skipped = 0
    for index in range(100):
        before = discriminator.layer.weight.detach().clone()
        loss = adversary.step(index, {"a": real}, {"a": made})["discriminator/a"]
        moved = not torch.equal(before, discriminator.layer.weight.detach())
        assert moved == (loss >= 0.5)
        skipped += not moved
    assert 0 < skipped < 100


def test_minimize_gives_gradients_to_its_own_parameters_alone() -> None:
    ours, theirs = nn.Linear(2, 1), nn.Linear(1, 1)
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    minimize(theirs(ours(torch.ones(1, 2))).sum(), optimizer)
    assert theirs.weight.grad is None
    assert ours.weight.grad is not None


def test_rounds_and_turns() -> None:
    adversary = Adversary({"a": Linear()}, options(discriminator_steps=5), Run(1))
    assert adversary.rounds == 5
    assert [index for index in range(15) if adversary.generators_turn(index)] == [4, 9, 14]


def test_spectral_norm_is_one() -> None:
    """After some power iterations the largest singular value is 1, by another way of computing it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Flatten(), nn.Linear(8 * 25, 7), nn.BatchNorm1d(7))
    normalize_spectrally(network)
    normalize_spectrally(network)  # no layer twice
    for _ in range(100):
        network(torch.randn(2, 3, 8, 8))
    for layer in (network[0], network[2]):
        largest = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
        assert float(largest) == pytest.approx(1, abs=1e-3)
    assert any(name.endswith("_u") for name in network.state_dict())  # a checkpoint has the vectors


@pytest.mark.slow
@pytest.mark.parametrize("names", [("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")])
@pytest.mark.parametrize("shape", [(2, 3, 5, 6), pytest.param((3, 3, 8, 8), marks=pytest.mark.exhaustive)])
def test_augmentation_passes_the_gradient_on(names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    pictures = (torch.rand(shape, dtype=torch.float64) * 2 - 1).requires_grad_()

    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        return augment(x, names)

    assert seeded(pictures).shape == pictures.shape
    assert torch.autograd.gradcheck(seeded, (pictures,))


def test_no_augmentation_changes_nothing() -> None:
    pictures = torch.randn(2, 3, 8, 8)
    assert augment(pictures, ()) is pictures


def test_colors_change_by_the_papers_amounts() -> None:
    """Brightness of -0.5 to 0.5 moves a gray picture alone; saturation and contrast leave its mean."""
    torch.manual_seed(0)
    gray = torch.full((2000, 3, 2, 2), 0.25)
    moved = augment(gray, ("color",)) - gray
    assert float(moved.std((1, 2, 3)).max()) < 1e-6
    assert float(moved.min()) == pytest.approx(-0.5, abs=0.01)
    assert float(moved.max()) == pytest.approx(0.5, abs=0.01)
    assert float(moved.mean()) == pytest.approx(0, abs=0.03)
    # The spread within a channel is scaled by the contrast, 0.5 to 1.5, that of the channels by saturation too.
    picture = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2).expand(2000, 3, 1, 2)
    scale = augment(picture, ("color",)).std((1, 2, 3)) / picture[0].std()
    assert 0.5 - 1e-5 <= float(scale.min()) < 0.51
    assert 1.49 < float(scale.max()) <= 1.5 + 1e-5
    color = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(4000, 3, 2, 2)
    scale = augment(color, ("color",)).std((1, 2, 3)) / color[0].std()
    assert float(scale.min()) < 0.02
    assert 2.7 < float(scale.max()) <= 3.0 + 1e-4
    assert float(scale.mean()) == pytest.approx(1.0, abs=0.05)


def test_translation_shifts_by_up_to_an_eighth_and_fills_with_gray() -> None:
    torch.manual_seed(0)
    picture = torch.arange(1.0, 257).view(1, 1, 16, 16).expand(500, 3, 16, 16)
    moved = augment(picture, ("translation",))
    seen = set()
    for before, after in zip(picture[:, 0], moved[:, 0], strict=True):
        padded = torch.zeros(20, 20)
        padded[2:18, 2:18] = before
        fits = [(y, x) for y in range(5) for x in range(5) if torch.equal(padded[y : y + 16, x : x + 16], after)]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 25
    assert torch.equal(moved[:, 0], moved[:, 2])


def test_cutout_cuts_half_of_each_side() -> None:
    torch.manual_seed(0)
    cut = augment(torch.ones(3000, 3, 16, 16), ("cutout",))[:, 0] == 0
    heights, widths = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(cut.flatten(1).sum(1), heights * widths)  # one rectangle
    assert int(heights.max()) == int(widths.max()) == 8
    assert int(heights.min()) >= 4  # half of it may lie outside
    assert cut.any(0).all()


def places(side: int, count: int = 200) -> Tensor:
    """Pictures that hold the number of each row and of each column, from 1."""
    numbers = torch.arange(1.0, side + 1)
    rows, columns = torch.meshgrid(numbers, numbers, indexing="ij")
    return torch.stack([rows, columns, torch.ones_like(rows)]).expand(count, 3, side, side)


def test_several_resolutions_are_shifted_by_the_same_way_rounded_to_their_pixels() -> None:
    torch.manual_seed(0)
    small, large = augment_together([places(8), places(32)], ("translation",))
    for channel in (0, 1):
        shifts = (large[:, channel, 16, 16] - 17).tolist()
        assert {*shifts} == set(range(-4, 5))
        assert (small[:, channel, 4, 4] - 5).tolist() == [round(shift / 4) for shift in shifts]


def test_several_resolutions_are_cut_at_the_same_place() -> None:
    torch.manual_seed(0)
    small, large = augment_together([places(8), places(32)], ("cutout",))
    cut = large[:, 2] == 0
    assert torch.equal(small[:, 2] == 0, cut[:, ::4, ::4])
    assert torch.equal(cut.flatten(1).any(1), torch.ones(200, dtype=torch.bool))
    # The largest resolution is changed as it is alone.
    torch.manual_seed(0)
    assert torch.equal(augment(places(32), ("cutout",)), large)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"loss": "hinge", "real_label": 0.9}, "the hinge loss has no labels"),
        ({"diffaugment": "color,zoom"}, "diffaugment knows color, translation, cutout, not 'zoom'"),
        ({"r1": -1.0}, "r1"),
        ({"discriminator_steps": 0}, "discriminator_steps"),
        ({"lr_discriminator": 0.0}, "lr_discriminator"),
    ],
)
def test_bad_options_are_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        options(**values)


def test_augmentations_are_read_as_a_list() -> None:
    assert options(diffaugment=" color, cutout").augmentations == ("color", "cutout")
    assert options().augmentations == ()
