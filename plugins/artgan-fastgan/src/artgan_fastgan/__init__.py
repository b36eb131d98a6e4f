"""FastGAN and projected GAN (Liu et al., 2021; Sauer et al., 2021) as an artgan plugin: the manifest, free of torch."""

from artgan.plugin import Plugin

plugin = Plugin(
    name="fastgan",
    summary="Pictures from noise, learned from small sets (Liu et al., 2021; Sauer et al., 2021)",
    config="artgan_fastgan.config:FastGANConfig",
    generator="artgan_fastgan.generator:FastGANGenerator",
    networks="artgan_fastgan.discriminators:build",
    trainer="artgan_fastgan.trainer:FastGANTrainer",
    domains={"pictures": "folder of pictures"},
    training={"batch": 64, "zoom": 1.0, "ema": 0.998},
    presets={
        "128": {},
        "256": {"size": 256, "batch": 32},
        # A rehearsal on a CPU.
        "small": {"size": 64, "width": 84, "discriminator_width": 16, "batch": 16},
        # FastGAN's own discriminator and batch, without pretrained features.
        "self-supervised": {"discriminator": "self-supervised", "batch": 16},
    },
)
