"""DCGAN (Radford, Metz and Chintala, 2016) as an artgan plugin. This module is the manifest, and free of torch."""

from artgan.plugin import Plugin

# For several resolutions, as their papers do, with R1 in place of WGAN-GP.
_EQUALIZED = {"batch": 16, "beta1": 0.0, "beta2": 0.99, "r1": 0.1}

plugin = Plugin(
    name="dcgan",
    summary="Pictures from noise by convolutions (Radford et al., 2016)",
    config="artgan_dcgan.config:DCGANConfig",
    generator="artgan_dcgan.networks:build_generator",
    networks="artgan_dcgan.networks:build",
    trainer="artgan.toolkit:MultiscaleTrainer",
    convert="artgan_dcgan.convert:convert",
    layouts={"dcgan": "PyTorch's DCGAN tutorial and example, their generator"},
    domains={"pictures": "folder of pictures"},
    training={"batch": 128, "zoom": 1.0, "decay_from": 1.0},
    presets={
        # The paper's LSUN model: 1024 channels at 4x4, 5x5 kernels, uniform noise, no moving average.
        "paper": {"width": 128, "kernel": 5, "noise": "uniform(-1,1)", "ema": 0.0},
        # The Monet project's: half as wide, 4x4 kernels, and smoothed labels.
        "monet": {"real_label": 0.8, "fake_label": 0.1, "batch": 64},
        # For a set of some hundred paintings, without the 4-pixel grid that transposed convolutions leave.
        "resize": {
            "upsample": "bilinear",
            "real_label": 0.8,
            "fake_label": 0.1,
            "batch": 64,
            "diffaugment": "color,translation",
            "decay_from": 0.6,
        },
        "progressive": {"multiscale": "progressive", "lr": 1e-3, **_EQUALIZED},
        "msg": {"multiscale": "msg", "lr": 3e-3, **_EQUALIZED},
    },
    # The study that the Monet project did by hand.
    studies={
        "noise": "noise=uniform(-1,1),normal(0,1),gamma(2,1),normal(-1,1),normal(1,1),normal(0,0.01),normal(0,100)"
    },
)
