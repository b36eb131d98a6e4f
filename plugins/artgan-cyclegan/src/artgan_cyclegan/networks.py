"""The networks of CycleGAN: ResNet generators, PatchGAN and projected discriminators.

The generator is that of Johnson et al., 2016 (arXiv:1603.08155) as Zhu et al., 2017 use it, with the
reference implementation's state-dict layout (``model.1.weight`` ... ``model.26.bias`` with nine blocks).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from artgan.features import VGG19, load_vgg19
from artgan.interfaces import Discriminator, Generator, Networks
from artgan.training.adversarial import normalise_spectrally
from artgan_cyclegan.config import CycleGANConfig


class ResizeConv2d(nn.Conv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution: no checkerboard (Odena et al., 2016)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x C' x 2H x 2W."""
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class ResidualBlock(nn.Module):
    """Two reflection-padded 3x3 convolutions with instance norm, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        return x + self.conv_block(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class ResNetGenerator(Generator):
    """Photo to painting, or back: 7x7 convolution, two halvings, residual blocks, two doublings, 7x7 convolution.

    Args:
        width: channels at full resolution; twice and four times as many below.
        blocks: number of residual blocks.
        upsample: ``"transposed"`` or ``"resize"``.
        skip: the output is the input plus what the network makes, clamped to [-1, 1]; while training, the
            gradient passes the clamp unchanged. Without it, the output goes through tanh.
    """

    stride = 4
    minimum_size = 16  # reflection pads 3 at full size and 1 at a quarter; instance norm needs more than one value

    def __init__(self, width: int = 64, blocks: int = 9, upsample: str = "transposed", skip: bool = False) -> None:
        super().__init__()

        def up(channels: int) -> nn.Module:
            if upsample == "resize":
                return ResizeConv2d(channels, channels // 2)
            return nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)

        def norm(channels: int) -> list[nn.Module]:
            return [nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]

        self.skip = skip
        self.memory_per_pixel = 33 * width  # measured: 9.7 GB for 12 megapixels at width 24
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, 7),
            *norm(width),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            *norm(2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            *norm(4 * width),
            *(ResidualBlock(4 * width) for _ in range(blocks)),
            up(4 * width),
            *norm(2 * width),
            up(2 * width),
            *norm(width),
            nn.ReflectionPad2d(3),
            output := nn.Conv2d(width, 3, 7),
            nn.Identity() if skip else nn.Tanh(),
        )
        self.apply(_initialise)
        if skip:  # begin close to the identity
            nn.init.normal_(output.weight, 0.0, 0.002)

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W in [-1, 1] to the same; H and W multiples of 4, at least 16."""
        made: Tensor = self.model(x)
        if not self.skip:
            return made
        painting = x + made
        clamped = painting.clamp(-1.0, 1.0)
        # Straight through: a clamped pixel must still learn its way back.
        return painting + (clamped - painting).detach() if torch.is_grad_enabled() else clamped


class PatchDiscriminator(Discriminator):
    """PatchGAN (Isola et al., 2017): one logit for each overlapping patch, 70x70 pixels with three layers.

    Args:
        width: channels of the first layer.
        layers: stride-2 convolutions; two more with stride 1 follow.
        shrink: the pictures are averaged down by this factor first (a wider, coarser look).
    """

    def __init__(self, width: int = 64, layers: int = 3, shrink: int = 1) -> None:
        super().__init__()
        self.shrink = shrink
        self.minimum_size = 3 * 2**layers * shrink  # what is left must be 3 x 3: the last two layers take 1 each
        parts: list[nn.Module] = [
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        channels = width
        for layer in range(1, layers + 1):
            wider = width * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            parts += [
                nn.Conv2d(channels, wider, 4, stride=stride, padding=1),
                nn.InstanceNorm2d(wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels = wider
        parts.append(nn.Conv2d(channels, 1, 4, padding=1))
        self.model = nn.Sequential(*parts)
        self.apply(_initialise)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pictures N x 3 x H x W to one N x 1 x h x w logit map."""
        (pictures,) = observed
        if self.shrink > 1:
            pictures = F.avg_pool2d(pictures, self.shrink)
        return (self.model(pictures),)


class ProjectedDiscriminator(Discriminator):
    """Small heads on frozen VGG-19 features, and PatchGANs on pixels (after Sauer et al., 2021, arXiv:2111.01007).

    Pretrained features tell strokes from photographs from the first step on; the pixel parts see what the
    features pass over: at full size the finest grain, at a quarter of it the colours.
    """

    layers = ("conv2_2", "conv3_1", "conv4_1")

    def __init__(self, features: VGG19, width: int = 64) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(channels, width, 1)),
                nn.LeakyReLU(0.2, inplace=True),
                spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
                nn.LeakyReLU(0.2, inplace=True),
                spectral_norm(nn.Conv2d(width, 1, 1)),
            )
            for channels in features.channels
        )
        pixels = [PatchDiscriminator(width // 2, layers=2), PatchDiscriminator(width // 2, layers=1, shrink=4)]
        self.pixels = nn.ModuleList(pixels)
        self.minimum_size = max(part.minimum_size for part in pixels)

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """Pictures N x 3 x H x W to themselves and their layer-normalised VGG-19 features, N x C x h x w each."""
        normalised = [F.layer_norm(f.movedim(1, -1), f.shape[1:2]).movedim(-1, 1) for f in self.features(pictures)]
        return (pictures, *normalised)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """One N x 1 x h x w logit map for each feature layer and each pixel part."""
        pictures, *features = observed
        logits = [head(f) for head, f in zip(self.heads, features, strict=True)]
        for part in self.pixels:
            logits.extend(part(pictures))
        return logits


def _initialise(module: nn.Module) -> None:
    """The paper's: weights from N(0, 0.02), biases 0."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build_generator(config: CycleGANConfig) -> ResNetGenerator:
    """One generator, freshly initialised."""
    return ResNetGenerator(config.width, config.blocks, config.upsample, config.skip)


def build(config: CycleGANConfig) -> Networks:
    """Two generators and two discriminators, freshly initialised.

    Raises:
        artgan.WeightsError: the projected discriminator's VGG-19 weights cannot be read or fetched.
    """

    features = None
    if config.discriminator == "projected":
        features = load_vgg19(ProjectedDiscriminator.layers, config.features)

    def discriminator() -> Discriminator:
        built: Discriminator
        if features is None:
            built = PatchDiscriminator(config.discriminator_width)
        else:
            built = ProjectedDiscriminator(features, config.discriminator_width)
        if config.spectral_norm:
            normalise_spectrally(built)
        return built

    return Networks(
        generators={"paintings": build_generator(config), "photos": build_generator(config)},
        discriminators={"paintings": discriminator(), "photos": discriminator()},
    )
