"""SN-GAN (Miyato, Kataoka, Koyama, Yoshida, 2018) as an artgan plugin: the manifest, free of torch."""

from artgan.plugin import Plugin

# For sets of a few hundred pictures: the discriminator sees them shifted, recolored and partly covered.
_FEW = {"diffaugment": "color,translation,cutout", "ema": 0.999}

# For several resolutions, as their papers do: a gradient penalty in place of spectral normalization, though R1 in place
# of WGAN-GP, and one discriminator step; Adam's beta2 for equalized layers.
_EQUALIZED = {
    "batch": 16,
    "loss": "nonsaturating",
    "beta2": 0.99,
    "discriminator_steps": 1,
    "spectral_norm": False,
    "r1": 0.1,
}

plugin = Plugin(
    name="sngan",
    summary="Pictures from noise with a spectrally normalized discriminator (Miyato et al., 2018)",
    config="artgan_sngan.config:SNGANConfig",
    generator="artgan_sngan.networks:build_generator",
    networks="artgan_sngan.networks:build",
    trainer="artgan.toolkit:MultiscaleTrainer",
    domains={"pictures": "folder of pictures"},
    training={"batch": 64, "zoom": 1.0},
    presets={
        # CIFAR-10 with the residual networks, as the literature reports it.
        "cifar10": {
            "size": 32,
            "architecture": "resnet",
            "width": 256,
            "discriminator_width": 128,
            "steps": 100_000,
            "batch": 64,
            "lr": 2e-4,
            "beta1": 0.0,
            "beta2": 0.9,
            "discriminator_steps": 5,
            "decay_from": 0.0,
        },
        # The Bob Ross project's networks, which had no spectral normalization despite their name.
        "joy-of-painting": {
            "architecture": "joy-of-painting",
            "loss": "nonsaturating",
            "beta1": 0.5,
            "beta2": 0.999,
            "discriminator_steps": 1,
            "spectral_norm": False,
            **_FEW,
        },
        "few-pictures": _FEW,
        # The same networks with spectral normalization, wider, and without blocks and a frame in the pictures.
        "resize": {
            "architecture": "joy-of-painting",
            "width": 384,
            "discriminator_width": 32,
            "upsample": "bilinear",
            "loss": "nonsaturating",
            "beta1": 0.5,
            "beta2": 0.999,
            "discriminator_steps": 1,
            "spectral_norm": True,
            "diffaugment": "color,translation",
            "decay_from": 0.6,
        },
        "progressive": {"multiscale": "progressive", "lr": 1e-3, **_EQUALIZED},
        "msg": {"multiscale": "msg", "lr": 3e-3, **_EQUALIZED},
    },
    # What the Bob Ross project tried; both vary its own networks (--preset joy-of-painting).
    studies={"dense": "dense=1024,0", "upsample": "upsample=nearest,transposed,bilinear"},
)
