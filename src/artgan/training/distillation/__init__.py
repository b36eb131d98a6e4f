"""Distillation: a small generator learns from photos alone to paint like a large one (Hinton et al., 2015).

It uses the same training loop as a plugin's networks; this module is its manifest, and free of torch.
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
