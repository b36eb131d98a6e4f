"""Any picture as the style, in one pass through a small network: the manifest, free of torch."""

from artgan.plugin import Plugin

plugin = Plugin(
    name="anystyle",
    summary="A photo in the style of any picture, in one pass (after Huang and Belongie, 2017)",
    config="artgan_anystyle.config:AnyStyleConfig",
    generator="artgan_anystyle.generator:build_generator",
    networks="artgan_anystyle.generator:build",
    trainer="artgan_anystyle.trainer:AnyStyleTrainer",
    options="artgan_anystyle.config:AnyStyleOptions",
    encode_style="artgan_anystyle.generator:encode_style",
    domains={"photos": "folder of photos", "styles": "folder of style pictures"},
    training={"batch": 8, "zoom": 1.5},
    # For a CPU: many styles a minute, from small crops at the pictures' own scale.
    presets={"small-crops": {"size": 96, "batch": 8, "zoom": None, "scales": 1}},
)
