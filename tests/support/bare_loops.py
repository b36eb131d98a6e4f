"""Training steps as one would write them in a notebook, to compare those of a run with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import build
from torch.nn.utils.parametrizations import spectral_norm

from artgan.config import parse
from artgan.discovery import load_plugin, resolve
from artgan.interfaces import Networks
from artgan.training.devices import accelerator_for
from artgan.training.session import Session
from artgan.training.settings import configure
from support import plain_vgg


def moving_average(parameters: Iterable[torch.nn.Parameter], most: float) -> Callable[[], None]:
    """Updates the exponential moving average of parameters when called after a step; ``most`` is its final decay."""
    followed = list(parameters)
    averages = [p.detach().clone() for p in followed]
    steps = itertools.count()

    @torch.no_grad()
    def update() -> None:
        index = next(steps)
        decay = min(most, (1 + index) / (10 + index))
        for average, p in zip(averages, followed, strict=True):
            average.lerp_(p, 1 - decay)

    return update


def bare_translator(config: dict[str, Any], pictures: dict[str, torch.Tensor]) -> tuple[Callable[[], None], Any]:
    """CycleGAN's step (least squares, identity, moving average) as one would write it in a notebook."""
    torch.manual_seed(0)
    networks = build(parse(CycleGANConfig, config, where="test"))
    to_painting, to_photo = networks.generators["paintings"], networks.generators["photos"]
    judge_painting, judge_photo = networks.discriminators["paintings"], networks.discriminators["photos"]
    generators = [*to_painting.parameters(), *to_photo.parameters()]
    discriminators = [*judge_painting.parameters(), *judge_photo.parameters()]
    adam_g = torch.optim.Adam(generators, 2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminators, 2e-4, betas=(0.5, 0.999))
    average = moving_average(generators, 0.999)
    steps = itertools.count()

    def step() -> None:
        index = next(steps)
        photo = pictures["photos"].float() / 127.5 - 1
        painting = pictures["paintings"].float() / 127.5 - 1
        for p in discriminators:
            p.requires_grad_(False)
        fake_painting, fake_photo = to_painting(photo), to_photo(painting)
        loss = (judge_painting(fake_painting)[0] - 1).square().mean() + (judge_photo(fake_photo)[0] - 1).square().mean()
        loss = loss + 10 * (to_photo(fake_painting) - photo).abs().mean()
        loss = loss + 10 * (to_painting(fake_photo) - painting).abs().mean()
        if index % 2 == 0:
            loss = loss + 5 * (to_painting(painting) - painting).abs().mean()
            loss = loss + 5 * (to_photo(photo) - photo).abs().mean()
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
        for p in discriminators:
            p.requires_grad_(True)
        loss = torch.zeros(())
        for judge, real, fake in (
            (judge_painting, painting, fake_painting.detach()),
            (judge_photo, photo, fake_photo.detach()),
        ):
            loss = loss + ((judge(real)[0] - 1).square().mean() + judge(fake)[0].square().mean()) / 2
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        average()

    return step, to_painting


def bare_from_noise(networks: Networks, config: Any, pictures: dict[str, torch.Tensor]) -> Callable[[], None]:
    """DCGAN's step (cross-entropy) or SN-GAN's (hinge, spectral norm), with a moving average, as in a notebook."""
    generator, discriminator = networks.generators["pictures"], networks.discriminators["pictures"]
    hinge = config.loss == "hinge"
    if config.spectral_norm:
        for layer in discriminator.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                spectral_norm(layer)
    betas = (config.beta1, config.beta2)
    adam_g = torch.optim.Adam(generator.parameters(), config.lr, betas=betas)
    adam_d = torch.optim.Adam(discriminator.parameters(), config.lr, betas=betas)
    average = moving_average(generator.parameters(), 0.999)
    entropy = F.binary_cross_entropy_with_logits

    def step() -> None:
        for turn in range(config.discriminator_steps):
            real = pictures["pictures"].float() / 127.5 - 1
            noise = torch.randn(len(real), config.noise_size)
            with torch.set_grad_enabled(turn == config.discriminator_steps - 1):
                fake = generator(noise)
            says_real, says_fake = discriminator(real)[0], discriminator(fake.detach())[0]
            if hinge:
                loss = F.relu(1 - says_real).mean() + F.relu(1 + says_fake).mean()
            else:
                loss = entropy(says_real, torch.ones_like(says_real))
                loss = loss + entropy(says_fake, torch.zeros_like(says_fake))
            adam_d.zero_grad()
            loss.backward()
            adam_d.step()
        for p in discriminator.parameters():
            p.requires_grad_(False)
        says_fake = discriminator(fake)[0]
        loss = -says_fake.mean() if hinge else entropy(says_fake, torch.ones_like(says_fake))
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
        for p in discriminator.parameters():
            p.requires_grad_(True)
        average()

    return step


def bare_projected(networks: Networks, config: Any, pictures: dict[str, torch.Tensor]) -> Callable[[], None]:
    """Projected GAN's step (hinge, spectral norm), the generator first, with a moving average, as in a notebook."""
    generator, discriminator = networks.generators["pictures"], networks.discriminators["pictures"]
    heads = list(discriminator.heads)
    for layer in discriminator.heads.modules():
        if isinstance(layer, torch.nn.Conv2d):
            spectral_norm(layer)
    betas = (config.beta1, config.beta2)
    adam_g = torch.optim.Adam(generator.parameters(), config.lr, betas=betas)
    adam_d = torch.optim.Adam(discriminator.heads.parameters(), config.lr, betas=betas)
    average = moving_average(generator.parameters(), 0.998)

    def step() -> None:
        real = pictures["pictures"].float() / 127.5 - 1
        features = discriminator.observe(generator(torch.randn(len(real), config.noise_size)))
        for p in discriminator.heads.parameters():
            p.requires_grad_(False)
        loss = -sum(head(seen).mean() for head, seen in zip(heads, features, strict=True))
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
        for p in discriminator.heads.parameters():
            p.requires_grad_(True)
        with torch.no_grad():
            observed = discriminator.observe(real)
        loss = torch.zeros(())
        for head, seen, fake in zip(heads, observed, features, strict=True):
            loss = loss + F.relu(1 - head(seen)).mean() + F.relu(1 + head(fake.detach())).mean()
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        average()

    return step


def step_of_a_run(
    plugin: str, values: dict[str, Any], pictures: dict[str, torch.Tensor], out: Path
) -> tuple[Session, Callable[[], None]]:
    """A run of the plugin on the same batch again and again, and its step as the loop makes it."""
    manifest = load_plugin(plugin)
    config, options = configure(manifest, {**values, "device": "cpu", "steps": 10**6})
    session = Session(manifest, config, options, 10**6, accelerator_for(options), out)
    batches, steps = itertools.repeat(pictures), itertools.count(1)

    def ours() -> None:
        step = next(steps)
        session.step(step, batches)
        if step % options.interval("log", 1) == 0:
            session.check_finite(step)
            session.log(step)

    return session, ours


def run_and_bare_loop(
    plugin: str, values: dict[str, Any], pictures: dict[str, torch.Tensor], folder: Path
) -> tuple[Session, Callable[[], None], Networks, Callable[[], None]]:
    """A run of a plugin from noise and its step, and a bare loop's networks, of the same weights, and its step."""
    bare_step = bare_from_noise
    if plugin == "fastgan":
        bare_step = bare_projected
        values = {**values, "vgg19": str(plain_vgg.write(folder / "vgg19.safetensors", "vgg19", "conv5_1"))}
    session, ours = step_of_a_run(plugin, values, pictures, folder)
    manifest = load_plugin(plugin)
    config = parse(resolve(manifest, "config"), values, where="test")
    torch.manual_seed(0)
    networks = resolve(manifest, "networks")(config)
    return session, ours, networks, bare_step(networks, config, pictures)
