"""The settings of a training run, merged from several sources. Free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from artgan.config import parse, renamed_options, with_new_names
from artgan.discovery import Plugin, resolve, what_to_install
from artgan.errors import ConfigError
from artgan.training.options import IN_STEPS_OR_EPOCHS, TrainingOptions


def configure(
    plugin: Plugin,
    given: Mapping[str, Any],
    *,
    preset: str | None = None,
    stored: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Any, TrainingOptions]:
    """The plugin's config and the training options.

    From lowest to highest precedence: the plugin's defaults, the stored values, the preset, the given values. If a
    training option is also a field of the config (the size that the networks are made for), the config decides.

    Args:
        plugin: the plugin to train.
        given: options of both, by name; other names are ignored.
        preset: the name of one of the plugin's presets.
        stored: the sections ``config`` and ``training`` of a run or a file.

    Raises:
        ConfigError: there is no such preset, or the value of an option is invalid.
    """
    chosen = preset_of(plugin, preset) if preset is not None else {}
    stored = stored or {"config": {}, "training": {}}
    cls = resolve(plugin, "config")
    config: Any = parse(cls, merged(plugin.name, cls, stored["config"], chosen, given), where=plugin.name)
    usual = {**plugin.training, **stored["training"]}
    layers = (usual, chosen, given, dataclasses.asdict(config))
    training = merged("training", TrainingOptions, *layers)
    for pair in IN_STEPS_OR_EPOCHS:
        for layer in layers[::-1]:
            if stated := [
                name for name in pair if layer.get(name) is not None
            ]:  # replace what is below, in either form
                training |= {name: layer[name] if name in stated else None for name in pair}
                break
    return config, parse(TrainingOptions, training, where="training")


def preset_of(plugin: Plugin, name: str) -> Mapping[str, Any]:
    """The values of a plugin's preset, for both its config and training.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in plugin.presets:
        raise ConfigError(f"{plugin.name} has the presets {', '.join(plugin.presets) or 'none'}, not {name!r}")
    return plugin.presets[name]


def named_study(plugins: Sequence[Plugin], name: str) -> tuple[Plugin, str]:
    """The plugin that has a study of that name, and what the study varies.

    Raises:
        ConfigError: none of the plugins has it, or several do.
    """
    having = [plugin for plugin in plugins if name in plugin.studies]
    if not having:
        known = sorted({study for plugin in plugins for study in plugin.studies})
        install = f"; {hint}" if (hint := what_to_install()) else ""
        raise ConfigError(
            f"there is no study {name!r}; there is {', '.join(known) or 'none'}, or --vary KEY=A,B,C{install}"
        )
    if len(having) > 1:
        names = ", ".join(plugin.name for plugin in having)
        raise ConfigError(f"several plugins have a study {name!r} ({names}): choose one with --plugin NAME")
    return having[0], having[0].studies[name]


def merged(where: str, cls: type, stored: Mapping[str, Any], *stronger: Mapping[str, Any]) -> dict[str, Any]:
    """The options under their current names, the last value winning; from ``stronger`` only the fields of ``cls``."""
    names = {*renamed_options(cls), *(field.name for field in dataclasses.fields(cls))}
    own = [{name: value for name, value in part.items() if name in names} for part in stronger]
    return {name: value for part in (stored, *own) for name, value in with_new_names(cls, part, where=where).items()}
