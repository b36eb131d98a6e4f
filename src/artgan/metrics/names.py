"""Lookup of metrics by name: artgan's own and those of plugins."""

from __future__ import annotations

import importlib
from typing import Any

from artgan.discovery import Plugin, import_part, inspect_plugins, load_plugin
from artgan.errors import PluginError, did_you_mean
from artgan.metrics import METRICS


def find_metrics() -> dict[str, Plugin]:
    """The plugins' metrics by name, each with its plugin; broken plugins are skipped.

    Raises:
        PluginError: two plugins provide a metric of the same name, a plugin uses the name of a built-in metric
            (:data:`artgan.metrics.METRICS`), or a plugin is broken and ``ARTGAN_STRICT_PLUGINS=1``.
    """
    metrics: dict[str, Plugin] = {}
    for report in inspect_plugins():
        if report.problem:
            continue
        plugin = load_plugin(report.name)
        for name in plugin.metrics:
            if name in metrics:
                raise PluginError(f"the metric {name!r} comes from two plugins, {metrics[name].name} and {plugin.name}")
            if name in METRICS:
                raise PluginError(f"plugin {plugin.name}: defines a metric {name!r}, which artgan defines itself")
            metrics[name] = plugin
    return metrics


def resolve_metric(name: str) -> Any:
    """Import the class of a metric, artgan's own or an installed plugin's.

    Raises:
        PluginError: there is no such metric, or it cannot be imported.
    """
    if name in METRICS:
        module, attribute = METRICS[name].split(":")
        return getattr(importlib.import_module(module), attribute)
    metrics = find_metrics()
    if name not in metrics:
        known = [*METRICS, *sorted(metrics)]
        hint = did_you_mean(name.lower(), known) or f"there are {', '.join(known)}"
        raise PluginError(f"no metric named {name!r}; {hint}")
    plugin = metrics[name]
    cls = import_part(plugin, f"metric {name}", plugin.metrics[name])
    from artgan.interfaces import Metric  # imports torch, as the metric does

    if not (isinstance(cls, type) and issubclass(cls, Metric)):
        raise PluginError(
            f"plugin {plugin.name}: metric {name} {plugin.metrics[name]} is not an artgan.interfaces.Metric"
        )
    return cls
