"""One step of distillation: the student learns to reproduce the teacher's painting."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from artgan.config import to_dict
from artgan.errors import ConfigError
from artgan.features import load_vgg19
from artgan.interfaces import Generator, Networks, Run, Trainer
from artgan.metrics.style import STYLE_LAYERS
from artgan.models.building import new_generator
from artgan.models.loading import load_torch_model
from artgan.painting.fitting import pad
from artgan.training.distillation.config import DistillationConfig, student_of

_STUDENT = "student"


def build(config: DistillationConfig) -> Networks:
    """The student, newly initialized.

    Raises:
        ConfigError: it is not an image-to-image generator.
    """
    plugin, parsed = student_of(config)
    student = new_generator(plugin, parsed)
    if student.task != "image-to-image":
        raise ConfigError(f"student {config.student}: makes pictures from noise, so no painting can teach it")
    return Networks({_STUDENT: student}, built_by=(plugin.name, to_dict(parsed)))


class DistillationTrainer(Trainer):
    """Minimizes the difference from the teacher's painting, in pixels and in VGG-19's features.

    The teacher sees whole crops: if it computes statistics over the picture, these are the crop's.
    """

    config: DistillationConfig

    def __init__(self, networks: Networks, config: DistillationConfig, run: Run) -> None:
        super().__init__(networks, config, run)
        self.student = networks.generators[_STUDENT]
        device = next(self.student.parameters()).device
        teacher = load_torch_model(config.teacher, device=device)
        if teacher.generator.task != "image-to-image":
            raise ConfigError(f"teacher {config.teacher}: makes pictures from noise, so it paints no photo")
        self.teacher = teacher.generator
        self.options = teacher.options({})
        self.vgg19 = load_vgg19(STYLE_LAYERS, config.vgg19).to(device) if config.lambda_features else None
        self.optimizers = {"student": torch.optim.Adam(self.student.parameters(), config.lr)}

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """See :meth:`artgan.interfaces.Trainer.step`."""
        photos = batch["photos"]
        wanted = self._taught(photos)
        made = self.student(photos)
        pixels = (made - wanted).abs().mean()
        total, losses = self.config.lambda_pixels * pixels, {f"pixels/{_STUDENT}": pixels}
        if self.vgg19 is not None and index % self.config.features_every == 0:
            features = self._features_apart(made, wanted)
            total, losses[f"features/{_STUDENT}"] = total + self.config.lambda_features * features, features
        self.run.minimize(total, self.optimizers["student"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _taught(self, photos: Tensor) -> Tensor:
        """The teacher's painting of N x 3 x H x W photos, as an ordinary tensor."""
        height, width = photos.shape[2:]
        painted = self.teacher.generate(pad(photos, self.teacher.stride, self.teacher.minimum_size), **self.options)
        return painted[:, :, :height, :width].clone()  # generate() may have run in inference mode

    def _features_apart(self, made: Tensor, wanted: Tensor) -> Tensor:
        """The relative distance between the features in one random crop of the pictures, averaged over the layers."""
        assert self.vgg19 is not None
        side = self.config.features_size
        for axis in (2, 3):
            spare = made.shape[axis] - side
            if spare > 0:
                start = int(torch.randint(spare + 1, ()))
                made, wanted = made.narrow(axis, start, side), wanted.narrow(axis, start, side)
        with torch.no_grad():
            there = self.vgg19(wanted)
        apart = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(self.vgg19(made), there, strict=True)]
        return torch.stack(apart).mean()

    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """Photos, and the teacher's and the student's paintings of them."""
        photos = batch["photos"]
        return {"photo": photos, "teacher": self._taught(photos), "student": generators[_STUDENT](photos)}

    def outputs(
        self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]
    ) -> Mapping[str, tuple[Tensor | None, Tensor]]:
        """The student's paintings."""
        return {_STUDENT: (batch["photos"], generators[_STUDENT](batch["photos"]))}
