"""The options of CycleGAN; the defaults are the paper's."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.plugin import AdversarialOptions, option


@dataclass(frozen=True)
class CycleGANConfig(AdversarialOptions):
    """The options for building and training the networks of Zhu et al., 2017 (arXiv:1703.10593), and our additions."""

    # The generators.
    architecture: str = option(
        "resnet",
        "resnet (the paper's), unet (TensorFlow's tutorial's, for crops of 256 px), subpixel (a resnet that "
        "works at a quarter of the size, with one norm: fast, and made to be distilled), half (the same at half and "
        "a quarter of the size, with resize-convolutions: to paint over brush strokes) or fast-style (that of Johnson "
        "et al., 2016, the resnet's ancestor)",
        choices=("resnet", "unet", "subpixel", "half", "fast-style"),
    )
    width: int = option(64, "channels of a generator's first layer", least=1, most=512)
    blocks: int = option(9, "residual blocks, not of a unet (the paper: 6 below 256 px, otherwise 9)", least=0, most=64)
    downsample: str = option(
        "strided",
        "how a resnet halves: strided convolutions (the paper's) or antialiased (convolve, then blur; CUT's)",
        choices=("strided", "antialiased"),
    )
    upsample: str = option(
        "transposed",
        "how a resnet doubles: transposed convolutions (the paper's; they can leave a checkerboard); resize, then "
        "convolve (bilinear: the same with bilinear interpolation; nearest, PyTorch-GAN's, and bilinear-zeros: with "
        "zeros at the edges); antialiased (blur, then convolve; CUT's)",
        choices=("transposed", "resize", "bilinear", "nearest", "bilinear-zeros", "antialiased"),
    )
    norm: str = option(
        "instance",
        "a resnet's norm: instance (the paper's), affine (the same with a learned scale and offset) or none (as "
        "converted from batch norm, which is then part of the convolutions)",
        choices=("instance", "affine", "none"),
    )
    skip: bool = option(False, "the generator adds a change to the picture instead of painting a new one; not a unet")
    smooth_colors: bool = option(
        False,
        "a subpixel generator blurs the colors of its painting, but not the lightness, as most JPEG files do",
        renamed_from=("smooth_colours", "0.3"),
    )
    remove_grid: bool = option(
        False, "remove the 4-pixel grid artifact of sub-pixel upsampling", renamed_from=("comb", "0.3")
    )
    epsilon: float = option(1e-5, "added to the variance in a unet's instance norms", above=0, most=1)
    # The discriminators.
    discriminator: str = option(
        "patch",
        "patch (the paper's 70x70 PatchGAN) or projected (heads on frozen VGG-19 features, and a small PatchGAN)",
        choices=("patch", "projected"),
    )
    discriminator_width: int = option(64, "channels of a discriminator's first layer or of a head", least=1, most=512)
    vgg19: str | None = option(
        None,
        "file of VGG-19's weights, for projected discriminators [default: from the user's settings, or downloaded]",
        resumable=True,
    )
    # The losses.
    loss: str = option(
        "lsgan",
        "adversarial loss: lsgan (least squares, the paper's), hinge or nonsaturating (cross-entropy)",
        choices=("lsgan", "hinge", "nonsaturating"),
    )
    lambda_cycle: float = option(
        10.0,
        "weight of the cycle loss; 0 for one-way training: only photo to painting is learned",
        least=0,
        resumable=True,
    )
    lambda_identity: float = option(
        5.0, "weight of the identity loss (the paper: half of the cycle's)", least=0, resumable=True
    )
    identity_every: int = option(1, "apply the identity loss only every so many steps", least=1, resumable=True)
    lambda_content: float = option(
        0.0,
        "weight of the content loss: how far the projected discriminator's deepest features move from the photo's",
        least=0,
        resumable=True,
    )
    content: str = option(
        "features",
        "what the content loss compares: features (place by place) or self-similarity (how alike any two places are: "
        "Kolkin et al., 2019; contours and colors are freer)",
        choices=("features", "self-similarity"),
        resumable=True,
    )
    lambda_color: float = option(
        0.0,
        "weight of the color loss: the squared difference from the input of pictures averaged over 8 x 8 px",
        least=0,
        resumable=True,
    )
    input_is_fake: bool = option(
        False,
        "show the inputs to the discriminators as fakes too, so that leaving them as they are does not pay",
        resumable=True,
    )
    lambda_style: float = option(
        0.0,
        "weight of the style loss: how far moments of VGG-19's features are from those of all paintings",
        least=0,
        resumable=True,
    )
    pool: int = option(50, "size of the history of generated pictures shown to the discriminators; 0 for none", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture == "unet" and self.skip:
            raise ValueError("skip is not for the unet, which paints a new picture")
        if self.architecture == "fast-style" and self.skip:
            raise ValueError("skip is not for the fast-style generator, which paints a new picture")
        if self.architecture != "resnet" and self.norm != "instance":
            raise ValueError("norm is for the resnet")
        if self.architecture != "subpixel" and self.smooth_colors:
            raise ValueError("smooth_colors is for the subpixel generator")
        if self.architecture != "subpixel" and self.remove_grid:
            raise ValueError("remove_grid is for the subpixel generator")
        if self.architecture == "subpixel" and self.width % 2:
            raise ValueError("a subpixel generator's width must be an even number")
        if self.architecture == "half" and (self.width % 4 or not self.skip):
            raise ValueError("a half generator's width must be a multiple of 4, and it adds a change: skip")
        if self.discriminator != "projected" and (self.lambda_content or self.lambda_style):
            raise ValueError("the content and the style loss need VGG-19: discriminator projected")
        if self.lambda_content and self.augmentations:
            raise ValueError("the content loss compares with the unchanged photo: not with diffaugment")
