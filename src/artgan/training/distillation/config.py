"""The options of distillation, and the choice of the student's network. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from artgan.config import option, parse, with_new_names
from artgan.discovery import Plugin, load_plugin, resolve
from artgan.errors import ConfigError
from artgan.models.locating import plugin_of
from artgan.settings import NETWORK_FILE
from artgan.training.settings import merged, preset_of


@dataclass(frozen=True)
class DistillationConfig:
    """The teacher, the student, and the student's losses."""

    teacher: str = option("", "the model to learn from")
    student: str = option(
        "",
        "[PLUGIN:]PRESET[,OPTION=VALUE...]: the network that learns, as a preset of a plugin (of the teacher's unless "
        "one is named) and what differs from it [default: the preset that the plugin has for students]",
    )
    lambda_pixels: float = option(
        1.0, "weight of the mean absolute difference of the pictures", least=0, resumable=True
    )
    lambda_features: float = option(
        0.2,
        "weight of the mean absolute difference of VGG-19's features, as a share of the teacher's",
        least=0,
        resumable=True,
    )
    features_every: int = option(1, "compute the features only every so many steps", least=1, resumable=True)
    features_size: int = option(
        128, "side of the crop that the features are computed on, in pixels", least=16, resumable=True
    )
    vgg19: str | None = option(None, NETWORK_FILE.format("VGG-19"), resumable=True)
    lr: float = option(5e-4, "Adam's learning rate", above=0, resumable=True)


def student_of(config: DistillationConfig) -> tuple[Plugin, Any]:
    """The student's plugin and its parsed config.

    Raises:
        ArtganError: there is no such plugin, preset or option, or the teacher is not a model.
    """
    if not config.teacher:
        raise ConfigError("name the teacher: artgan distill TEACHER")
    head, *changes = config.student.split(",")
    named, colon, preset = head.rpartition(":")
    plugin = load_plugin(named) if colon else plugin_of(config.teacher)
    if plugin is None:
        raise ConfigError(f"--teacher {config.teacher}: is an exported model here, and its plugin is not installed")
    preset = preset or plugin.student or ""
    if not preset:
        raise ConfigError(
            f"{plugin.name} has no preset for students; name one of its presets "
            f"({', '.join(plugin.presets) or 'none'}): --student PRESET"
        )
    cls, where = resolve(plugin, "config"), f"student: {plugin.name}"
    chosen = merged(where, cls, {}, preset_of(plugin, preset))
    values: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        try:
            values[name.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals:
            raise ConfigError(f"student: {change!r} is not OPTION=VALUE")
    return plugin, parse(cls, chosen | with_new_names(cls, values, where=where), where=where)
