"""The alarms of training, on tiny GANs that are really trained: failures are caught, healthy runs left in peace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artgan.discovery import load_plugin
from artgan.training.health import Alarm, Health

SIDE, BATCH, NOISE, STEPS = 16, 8, 8, 500


@dataclass(frozen=True)
class Recipe:
    """How ten runs are trained; ``failure`` is what should be told of them, None for healthy ones."""

    name: str
    failure: str | None = None
    seeds: Sequence[int] = range(10)
    translate: bool = False
    lr: float = 2e-3
    lr_discriminator: float = 2e-3
    adversarial: float = 1.0
    identity: float = 0.0  # weight of the change that a translator makes to a painting
    content: float = 0.0  # weight of the change that it makes to a photo, in place of a cycle
    skip: bool = False  # the translator adds a change to its input
    gap: float = 1.0  # how far the paintings are from photos
    scale: float = 1.0  # what the generator multiplies its input by
    norm: bool = True  # batch norm, against which noise is hard to ignore
    sgd: bool = False
    width: int = 24  # of the discriminator


RECIPES = [
    Recipe("noise", seeds=range(10)),
    Recipe("faster noise", seeds=range(10, 20), lr=4e-3, lr_discriminator=4e-3),
    Recipe("translator", seeds=range(20, 30), translate=True, identity=2.0, content=1.0),
    Recipe("mild style", seeds=range(30, 40), translate=True, skip=True, gap=0.5, identity=1.0, content=0.5),
    Recipe("noise diverges", "non-finite", range(5), sgd=True, lr=1.0, lr_discriminator=10.0),
    Recipe("translator diverges", "non-finite", range(5, 10), translate=True, sgd=True, lr=10.0, lr_discriminator=10.0),
    Recipe("noise is beaten", "discriminator-won", range(5), lr=1e-5, lr_discriminator=1e-2, width=64),
    Recipe("translator is beaten", "discriminator-won", range(5, 10), translate=True, lr=1e-5, lr_discriminator=1e-2),
    Recipe("noise unused", "collapse", range(3), scale=0.0),
    Recipe("noise leaps", "collapse", range(3, 7), lr=0.1, norm=False),
    Recipe("input unused", "collapse", range(7, 10), translate=True, scale=0.01),
    Recipe("heavy content", "copies-input", range(4), translate=True, skip=True, content=100.0),
    Recipe("no adversary, skip", "copies-input", range(4, 7), translate=True, skip=True, adversarial=0, identity=1.0),
    Recipe("no adversary", "copies-input", range(7, 10), translate=True, adversarial=0.0, content=1.0, lr=5e-3),
]


def photos(count: int, rng: torch.Generator) -> Tensor:
    """Gradients of random colors with a blob, and grain."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=rng)

    ramp = torch.linspace(0, 1, SIDE)
    across, down = ramp.view(1, 1, 1, -1), ramp.view(1, 1, -1, 1)
    first, second, third = (1.6 * uniform(3, 1, 1) - 0.8 for _ in range(3))
    turn, x, y = (uniform(1, 1, 1) for _ in range(3))
    ground = first + (second - first) * (turn * across + (1 - turn) * down)
    blob = torch.exp(-((across - x).square() + (down - y).square()) / 0.05)
    return (ground + (third - ground) * blob + 0.05 * torch.randn(ground.shape, generator=rng)).clamp(-1, 1)


def paintings(count: int, gap: float, rng: torch.Generator) -> Tensor:
    """Other pictures, warmer and with strokes."""
    pictures = photos(count, rng)
    tint, light = torch.tensor([[0.7, 0.6, 0.4], [0.2, 0.0, -0.3]])[..., None, None]
    strokes = 0.2 * torch.tensor([1.0, -1.0]).repeat(SIDE // 2)
    return pictures.lerp(pictures * tint + light + strokes, gap).clamp(-1, 1)


# Ten runs are trained at once, for speed: tensors have a first dimension for the run, which never mix.


class Layer(nn.Module):
    def __init__(self, rngs: Sequence[torch.Generator], inputs: int, outputs: int, gain: float = 2**0.5) -> None:
        super().__init__()
        weights = [torch.randn(inputs, outputs, generator=rng) for rng in rngs]
        self.weight = nn.Parameter(torch.stack(weights) * gain / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(len(rngs), 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class BatchNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, 1, keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt()


def cut(pictures: Tensor, side: int) -> Tensor:
    """Runs x B x 3 x 16 x 16 to runs x (B x patches) x (3 x side x side)."""
    patches = pictures.unfold(3, side, side).unfold(4, side, side).permute(0, 1, 3, 4, 2, 5, 6)
    return patches.reshape(len(pictures), -1, 3 * side * side)


def join(patches: Tensor, side: int) -> Tensor:
    """What :func:`cut` cut."""
    n = SIDE // side
    pictures = patches.reshape(len(patches), -1, n, n, 3, side, side).permute(0, 1, 4, 2, 5, 3, 6)
    return pictures.reshape(*pictures.shape[:3], SIDE, SIDE)


class FromNoise(nn.Module):
    def __init__(self, rngs: Sequence[torch.Generator], scale: float, norm: bool) -> None:
        super().__init__()
        self.scale = scale
        first, second, last = Layer(rngs, NOISE, 32), Layer(rngs, 32, 32), Layer(rngs, 32, 3 * SIDE**2, gain=0.3)
        hidden = [
            part for layer in (first, second) for part in (layer, BatchNorm() if norm else nn.Identity(), nn.ReLU())
        ]
        self.layers = nn.Sequential(*hidden, last, nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(self.scale * noise).unflatten(2, (3, SIDE, SIDE))


class Translator(nn.Module):
    def __init__(self, rngs: Sequence[torch.Generator], scale: float, skip: bool) -> None:
        super().__init__()
        self.scale, self.skip = scale, skip
        first, second, last = Layer(rngs, 12, 32), Layer(rngs, 32, 32), Layer(rngs, 32, 12, gain=0.01 if skip else 1)
        self.layers = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), last)

    def forward(self, pictures: Tensor) -> Tensor:
        made = join(self.layers(self.scale * cut(pictures, 2)), 2)
        return pictures + made if self.skip else made.tanh()


class Judge(nn.Module):
    """Looks at patches of 4 x 4; of pictures made from noise, then at the whole."""

    def __init__(self, rngs: Sequence[torch.Generator], width: int, whole: bool) -> None:
        super().__init__()
        self.patches = 16 if whole else 1
        self.first, self.second = Layer(rngs, 48, width), Layer(rngs, width, 8)
        self.last = Layer(rngs, 8 * self.patches, 1, gain=1)

    def forward(self, pictures: Tensor) -> Tensor:
        seen = F.leaky_relu(self.second(F.leaky_relu(self.first(cut(pictures, 4)), 0.2)), 0.2)
        return self.last(seen.reshape(len(seen), -1, 8 * self.patches)).squeeze(2)


def discriminator_loss(kinds: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """By run: least squares, hinge or non-saturating, for kind 0, 1, 2."""
    losses = [
        (1 - real).square() / 2 + fake.square() / 2,
        F.relu(1 - real) + F.relu(1 + fake),
        F.softplus(-real) + F.softplus(fake),
    ]
    return torch.stack([loss.mean(1) for loss in losses]).gather(0, kinds[None])[0]


def generator_loss(kinds: Tensor, fake: Tensor) -> Tensor:
    losses = [(fake - 1).square(), -fake, F.softplus(-fake)]
    return torch.stack([loss.mean(1) for loss in losses]).gather(0, kinds[None])[0]


Watched = tuple[int, list[dict[str, float]], tuple[Tensor | None, Tensor] | None]


def train(recipe: Recipe) -> Iterator[Watched]:
    """Every 10 steps the step and each run's figures; every 50 also inputs and pictures, runs x 8 x 3 x 16 x 16."""
    rngs = [torch.Generator().manual_seed(seed) for seed in recipe.seeds]
    kinds = torch.tensor([seed % 3 for seed in recipe.seeds])
    threshold = torch.where(kinds == 0, 0.5, 0.0)[:, None]
    data = torch.Generator().manual_seed(recipe.seeds[0])
    inputs = photos(512, data)
    targets = paintings(512, recipe.gap, data) if recipe.translate else inputs
    draws = torch.stack([torch.randint(512, (STEPS, 2, BATCH), generator=rng) for rng in rngs], 2)
    noise = torch.stack([torch.randn(STEPS + 1, BATCH, NOISE, generator=rng) for rng in rngs], 1)
    generator = (
        Translator(rngs, recipe.scale, recipe.skip) if recipe.translate else FromNoise(rngs, recipe.scale, recipe.norm)
    )
    judge = Judge(rngs, recipe.width, whole=not recipe.translate)
    optimizers = [
        torch.optim.SGD(network.parameters(), lr)
        if recipe.sgd
        else torch.optim.Adam(network.parameters(), lr, (0.5, 0.99), fused=True)
        for network, lr in ((generator, recipe.lr), (judge, recipe.lr_discriminator))
    ]
    fixed = inputs[:BATCH].expand(len(rngs), -1, -1, -1, -1) if recipe.translate else noise[STEPS]

    history: dict[str, list[Tensor]] = {}
    for step in range(STEPS):
        source = inputs[draws[step, 0]] if recipe.translate else noise[step]
        target = targets[draws[step, 1]]
        made = generator(source)
        judge.requires_grad_(False)
        losses = {"generator/made": generator_loss(kinds, judge(made))}
        judge.requires_grad_(True)
        total = recipe.adversarial * losses["generator/made"]
        if recipe.identity:
            losses["identity/made"] = (generator(target) - target).abs().mean((1, 2, 3, 4))
            total = total + recipe.identity * losses["identity/made"]
        if recipe.content:
            total = total + recipe.content * (made - source).abs().mean((1, 2, 3, 4))
        optimizers[0].zero_grad()
        total.sum().backward()
        optimizers[0].step()

        real, fake = judge(torch.cat([target, made.detach()], 1)).chunk(2, 1)
        losses["discriminator/made"] = discriminator_loss(kinds, real, fake)
        optimizers[1].zero_grad()
        losses["discriminator/made"].sum().backward()
        optimizers[1].step()

        losses["accuracy/made"] = torch.cat([real > threshold, fake < threshold], 1).float().mean(1)
        for name, loss in losses.items():
            history.setdefault(name, []).append(loss.detach())
        if (step + 1) % 10 == 0:
            means = {name: torch.stack(values).mean(0).tolist() for name, values in history.items()}
            pictures = None
            if (step + 1) % 50 == 0:
                with torch.no_grad():
                    pictures = (fixed if recipe.translate else None, generator(fixed).clamp(-1, 1))
            yield step + 1, [{name: mean[i] for name, mean in means.items()} for i in range(len(rngs))], pictures
            history = {}


def watch(recipe: Recipe) -> list[list[Alarm]]:
    """The alarms of each run, until all have told the failure that they should."""
    health = [Health() for _ in recipe.seeds]
    alarms: list[list[Alarm]] = [[] for _ in recipe.seeds]
    for step, figures, pictures in train(recipe):
        for i, told in enumerate(alarms):
            told += health[i].observe(step, figures[i])
            if pictures:
                inputs, made = pictures
                told += health[i].inspect(step, {"made": (None if inputs is None else inputs[i], made[i])})
        if all(recipe.failure in {alarm.kind for alarm in told} for told in alarms):
            break
    return alarms


@pytest.mark.exhaustive
def test_failures_are_caught_and_healthy_runs_left_in_peace() -> None:
    results = {recipe: watch(recipe) for recipe in RECIPES}
    caught = {
        recipe.name: sum(recipe.failure in {alarm.kind for alarm in told} for told in runs)
        for recipe, runs in results.items()
        if recipe.failure
    }
    false = [(recipe.name, told) for recipe, runs in results.items() if not recipe.failure for told in runs if told]
    print(f"caught: {caught}; false alarms: {len(false)} of 40")
    assert sum(len(runs) for recipe, runs in results.items() if recipe.failure) == 40
    assert sum(len(runs) for recipe, runs in results.items() if not recipe.failure) == 40
    assert sum(caught.values()) >= 38, f"caught {sum(caught.values())} of 40: {caught}"
    assert len(false) <= 1, f"{len(false)} false alarms of 40: {false}"


def copies(count: int = 4) -> dict[str, tuple[Tensor | None, Tensor]]:
    inputs = photos(count, torch.Generator().manual_seed(0))
    return {"paintings": (inputs, inputs * 0.99)}


def follow(health: Health, steps: range, *, accuracy: float = 1.0, name: str = "paintings") -> list[Alarm]:
    """The alarms of a run whose discriminator is right with ``accuracy`` and whose generator copies."""
    alarms = []
    for step in steps:
        alarms += health.observe(step, {f"generator/{name}": 0.7, f"accuracy/{name}": accuracy})
        if step % 50 == 0:
            alarms += health.inspect(step, copies())
    return alarms


def test_each_trouble_is_told_once_and_again_when_it_comes_back() -> None:
    health = Health()
    assert [(alarm.step, alarm.kind) for alarm in follow(health, range(10, 2000, 10))] == [
        (350, "discriminator-won"),
        (350, "copies-input"),
    ]
    assert not follow(health, range(2000, 2010, 10), accuracy=0.92)  # a slip
    assert not follow(health, range(2010, 2500, 10))
    assert not follow(health, range(2500, 2600, 10), accuracy=0.8)
    assert [alarm.step for alarm in follow(health, range(2600, 3000, 10))] == [2940]  # once the mean is up again
    assert [alarm.step for alarm in follow(health, range(2600, 3000, 10), name="photos")] == [2850]


def test_a_resumed_run_is_told_what_a_whole_one_is() -> None:
    whole = follow(Health(), range(10, 1000, 10))
    for stop in (100, 300, 350, 360):
        first, second = Health(), Health()
        alarms = follow(first, range(10, stop, 10))
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert alarms + follow(second, range(stop, 1000, 10)) == whole


def test_messages_give_the_figure_and_name_remedies() -> None:
    told = {alarm.kind: alarm.message for alarm in follow(Health(), range(10, 500, 10))}
    for remedy in ("100%", "--lr-discriminator", "--skip-below", "--r1", "--real-label", "--diffaugment"):
        assert remedy in told["discriminator-won"]
    for remedy in ("gray levels", "the weights of the losses", "--lr"):
        assert remedy in told["copies-input"]
    health = Health()
    (alarm,) = health.observe(10, {"generator/a": float("nan"), "cycle/b": float("inf"), "identity/b": 1.0})
    assert alarm.kind == "non-finite"
    for part in ("generator/a, cycle/b", "--lr", "--precision no"):
        assert part in alarm.message
    alike = {"faces": (None, photos(1, torch.Generator().manual_seed(0)).expand(8, -1, -1, -1))}
    (alarm,) = [alarm for step in range(50, 501, 50) for alarm in health.inspect(step, alike)]
    assert (alarm.step, alarm.kind) == (250, "collapse")
    for remedy in ("faces", "--lr", "--discriminator-steps", "--seed"):
        assert remedy in alarm.message


def test_the_manifests_remedies_replace_the_general_ones_of_their_kind() -> None:
    general, own = (follow(Health(given), range(10, 500, 10)) for given in ({}, {"copies-input": "a lower --stay"}))
    assert own[0] == general[0]
    seen, told = (alarms[1].message.split(". Likely remedies: ") for alarms in (general, own))
    assert (told[0], told[1]) == (seen[0], "a lower --stay")


def test_the_translator_names_its_own_options() -> None:
    remedies = load_plugin("cyclegan").remedies
    [message] = [a.message for a in follow(Health(remedies), range(10, 500, 10)) if a.kind == "copies-input"]
    for remedy in ("gray levels", "--lambda-cycle", "--lambda-identity"):
        assert remedy in message


def test_pictures_that_can_not_be_judged_are_not() -> None:
    health = Health()
    gray = torch.zeros(4, 3, 8, 8)
    for step in range(50, 1001, 50):
        assert not health.inspect(step, copies(1))
        assert not health.inspect(step, {"one": (None, gray[:1]), "alike": (gray, gray + torch.linspace(-1, 1, 8))})


def test_pictures_that_are_not_finite_are_told_and_break_nothing() -> None:
    health = Health()
    broken = {"paintings": (torch.zeros(4, 3, 8, 8), torch.full((4, 3, 8, 8), float("nan")))}
    (alarm,) = [alarm for step in range(50, 1001, 50) for alarm in health.inspect(step, broken)]
    assert (alarm.step, alarm.kind) == (50, "non-finite")
    assert not health.observe(1010, {"accuracy/paintings": 0.7})
