"""CycleGAN (Zhu, Park, Isola and Efros, 2017) as an artgan plugin. This module is the manifest, and free of torch."""

from artgan.plugin import Plugin

_FAST = {"architecture": "subpixel", "width": 64, "blocks": 6, "skip": True}
_PROJECTED = {"discriminator": "projected", "loss": "hinge", "lr": 3e-4, "beta2": 0.99, "pool": 0, "identity_every": 4}

plugin = Plugin(
    name="cyclegan",
    summary="Unpaired photo-to-painting translation (Zhu et al., 2017)",
    config="artgan_cyclegan.config:CycleGANConfig",
    generator="artgan_cyclegan.networks:build_generator",
    networks="artgan_cyclegan.networks:build",
    trainer="artgan_cyclegan.trainer:CycleGANTrainer",
    domains={"photos": "folder of photos", "paintings": "folder of paintings"},
    target="paintings",
    convert="artgan_cyclegan.convert:convert",
    layouts={
        "cyclegan": "the authors' pytorch-CycleGAN-and-pix2pix, its ResNet generators",
        "cut": "CUT, its ResNet generators with antialiasing",
        "pytorch-gan": "the PyTorch-GAN collection's CycleGAN",
        "mmgeneration": "OpenMMLab's ResnetGenerator, of MMGeneration and MMagic",
        "fast-neural-style": "PyTorch's example of fast neural style (Johnson et al., 2016), its TransformerNet",
        "tensorflow": "TensorFlow's CycleGAN tutorial, the arrays of its U-Net generator as .npz",
    },
    presets={
        # The paper's: 11.4M parameters per generator, the reference implementation's state-dict layout.
        "paper": {},
        # For CPUs: narrow, and trained against frozen VGG-19 features.
        "compact": {
            "width": 24,
            "blocks": 6,
            "upsample": "resize",
            "skip": True,
            **_PROJECTED,
            "lambda_cycle": 4.0,
            "lambda_identity": 1.0,
        },
        # A student for `artgan distill`: the fastest one, and paints pictures of any size in tiles.
        "fast": _FAST,
        # The same network with one-way training, with content and style losses on VGG-19's features.
        "one-sided": {
            **_FAST,
            **_PROJECTED,
            "lr_discriminator": 1e-3,
            "lambda_cycle": 0.0,
            "lambda_content": 1.0,
            "lambda_style": 60.0,
            "lambda_identity": 0.5,
        },
        # To paint over under-paintings: `artgan train cyclegan --preset finisher --underpaint BRUSH`.
        "finisher": {
            "architecture": "half",
            "width": 64,
            "blocks": 6,
            "skip": True,
            **_PROJECTED,
            "lr_discriminator": 3e-4,
            "lambda_cycle": 0.0,
            "lambda_content": 1.0,
            "lambda_color": 3.0,
            "lambda_style": 60.0,
            "lambda_identity": 0.5,
            "input_is_fake": True,
        },
    },
    student="fast",
    remedies={
        "copies-input": "lower --lambda-cycle, --lambda-identity and --lambda-content, which hold it to its input, or "
        "raise --lr; with a discriminator that has won, lower --lr-discriminator too",
    },
)
