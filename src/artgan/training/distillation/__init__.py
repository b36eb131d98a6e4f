"""Distillation: a small generator learns from photos alone to paint as a large one does (Hinton et al., 2015).

It is trained as a plugin's networks are, by the same loop; this module is its manifest: no torch here.
"""

from artgan.discovery import Plugin

plugin = Plugin(
    name="distillation",
    summary="A small generator taught by a large one, on photos alone",
    config="artgan.training.distillation.config:DistillationConfig",
    networks="artgan.training.distillation.trainer:build",
    trainer="artgan.training.distillation.trainer:DistillationTrainer",
    domains={"photos": "folder of photos"},
)
