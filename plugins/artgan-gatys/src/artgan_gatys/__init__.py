"""Style transfer by optimization (Gatys, Ecker, Bethge, 2016) as an artgan plugin: the manifest, free of torch."""

from artgan.plugin import Plugin

plugin = Plugin(
    name="gatys",
    summary="A photo in the style of any picture, by optimizing the painting itself (Gatys et al., 2016)",
    config="artgan_gatys.config:GatysConfig",
    generator="artgan_gatys.generator:build_generator",
    options="artgan_gatys.config:GatysOptions",
)
