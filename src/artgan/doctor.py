"""A check-up of the installation."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version

from artgan.errors import ArtganError
from artgan.plugin import inspect_plugins
from artgan.registry import read_registry


@dataclass(frozen=True)
class Finding:
    """One line of the check-up."""

    check: str
    ok: bool
    found: str


def examine() -> list[Finding]:
    """Versions, devices, plugins, the registry, and whether each model's bundled weights load."""
    import torch

    findings = [
        Finding("artgan", True, version("artgan")),
        Finding("python", True, platform.python_version()),
        Finding("torch", True, torch.__version__),
        Finding("cpu", True, f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"),
        Finding("cuda", True, _cuda()),
    ]
    for plugin in inspect_plugins():
        found = plugin.problem or f"{plugin.distribution} {plugin.version}"
        findings.append(Finding(f"plugin {plugin.name}", plugin.problem is None, found))
    try:
        registry = read_registry()
    except ArtganError as error:
        return [*findings, Finding("registry", False, str(error))]
    findings += [Finding("registry", False, problem) for problem in registry.problems]
    findings.append(Finding("registry", not registry.problems, f"{len(registry.names())} models"))
    return findings + [_model(name) for name in registry.names() if registry.entry(name).weights.bundled]


def _cuda() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


def _model(name: str) -> Finding:
    from artgan.loading import load

    try:
        model = load(name)
    except ArtganError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, f"loads, {sum(p.numel() for p in model.parameters()):,} parameters")
