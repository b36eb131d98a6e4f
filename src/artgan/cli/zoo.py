"""``artgan models``, ``show``, ``plugins`` and ``doctor``: what is available, where it is from, what is broken."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artgan.cli import completing
from artgan.cli.options import Format, Output
from artgan.cli.tables import print_table

if TYPE_CHECKING:
    from artgan.models.entry import Entry


class Task(str, Enum):
    """The kind of model, named by input and output."""

    image_to_image = "image-to-image"
    noise_to_image = "noise-to-image"


def models(
    pattern: Annotated[
        str, typer.Argument(help="Names to list; * matches any text.", autocompletion=completing.models)
    ] = "*",
    plugin: Annotated[
        str | None,
        typer.Option(help="Only models of this plugin.", show_default=False, autocompletion=completing.plugins),
    ] = None,
    task: Annotated[Task | None, typer.Option(help="Only models for this task.", show_default=False)] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Only models that work offline: bundled, cached, or your own.")
    ] = False,
    format: Output = Format.text,
) -> None:
    """List the available models; your own ones, such as saved styles, are marked."""
    from artgan.models.registry import read_registry

    registry = read_registry()
    entries = [registry.entries[name] for name in registry.names(pattern)]
    entries = [e for e in entries if plugin in (None, e.plugin) and task in (None, e.task)]
    listed = [(entry, entry.availability()) for entry in entries]
    if cached:
        listed = [
            (entry, availability) for entry, availability in listed if availability in ("bundled", "cached", "own")
        ]
    if format is Format.json:
        print(json.dumps([{**_card(entry), "availability": availability} for entry, availability in listed], indent=2))
    else:
        rows = [
            (e.name, e.alias or "", e.plugin, e.task, _size(e), _text(e.license.get("weights", "")), availability)
            for e, availability in listed
        ]
        print_table(("MODEL", "ALIAS", "PLUGIN", "TASK", "SIZE", "LICENSE", "WEIGHTS"), rows)
    for problem in (*registry.problems, *registry.broken.values()):
        print(f"artgan: {problem}", file=sys.stderr)


def show(
    model: Annotated[str, typer.Argument(help="A model's name or alias.", autocompletion=completing.models)],
    format: Output = Format.text,
) -> None:
    """Show a model's card: how to use it, license, data, training, measured figures."""
    from artgan.models.registry import read_registry

    entry = read_registry().entry(model)
    if format is Format.json:
        print(json.dumps(_card(entry), indent=2))
        return
    print(f"{entry.name} (alias {entry.alias})" if entry.alias else entry.name)
    if entry.summary:
        print(" ".join(entry.summary.split()))
    facts = {"use": entry.usage(), "task": entry.task, "plugin": f"{entry.plugin}, of {entry.distribution}"}
    if entry.availability() == "not installed":
        facts["install"] = entry.install_command()
    facts["weights"] = _places(entry)
    if entry.weights:
        facts["sha256"] = entry.weights.sha256
    if entry.folder is None:
        facts["registry"] = entry.source
    _section("", facts)
    _section("license", entry.license)
    _section("style", entry.style)
    _section("base", entry.base)
    _section("config", entry.config)
    _section("brushwork", entry.brushwork)
    _section("training", entry.training)
    if entry.metrics:
        print("\nmetrics")
        keys = list(dict.fromkeys(key for metric in entry.metrics for key in metric))
        rows = [tuple(_text(metric[key]) if key in metric else "" for key in keys) for metric in entry.metrics]
        print_table(tuple(key.upper() for key in keys), rows, indent="  ")
    _section("check", entry.check)


def plugins(format: Output = Format.text) -> None:
    """List the installed plugins and what they provide; exit status 1 if one is broken.

    Imports only their manifests; artgan doctor imports everything.
    """
    from dataclasses import asdict

    from artgan.discovery import inspect_plugins, load_plugin
    from artgan.doctor import brings, in_words
    from artgan.models.registry import read_registry

    registry, reports = read_registry(), inspect_plugins()
    brought = {r.name: brings(load_plugin(r.name), registry) for r in reports if not r.problem}
    if format is Format.json:
        print(json.dumps([{**asdict(r), "brings": brought.get(r.name, {})} for r in reports], indent=2))
    else:
        rows = [
            (r.name, r.distribution, r.version, r.problem or in_words(brought[r.name]), r.summary or "")
            for r in reports
        ]
        print_table(("PLUGIN", "DISTRIBUTION", "VERSION", "PROVIDES, OR WHAT IS BROKEN", "WHAT IT IS"), rows)
    if any(report.problem for report in reports):
        raise typer.Exit(1)


def doctor(format: Output = Format.text) -> None:
    """Check the installation: versions, devices, Hub, registry files, plugins, models; exit status 1 on a fault.

    A note is not a fault: without the Hub, bundled and cached models work.
    """
    from dataclasses import asdict

    from artgan.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if format is Format.text:  # immediately: some checks take seconds
            word = "FAULT" if not finding.ok else "note" if finding.note else "ok"
            print(f"{finding.check:<18}  {word:<5}  {finding.found}", flush=True)
    if format is Format.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _card(entry: Entry) -> dict[str, Any]:
    return {**entry.to_dict(), "source": entry.source}


def _size(entry: Entry) -> str:
    """Of the file that holds the model, or what differs from its base."""
    from artgan.models.folder import EXPORTED, WEIGHTS

    if entry.folder is not None:
        files = [entry.folder / name for name in (WEIGHTS, EXPORTED)]
        size = sum(file.stat().st_size for file in files if file.is_file())
    else:
        size = entry.weights.size if entry.weights else 0
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB" if size else ""


def _places(entry: Entry) -> str:
    """Where the weights come from, in order of preference."""
    weights, places = entry.weights, []
    if entry.folder is not None:
        return f"your own, {entry.folder}; {_size(entry)}"
    if weights is None:
        return "none of its own"
    if weights.bundled:
        places.append(f"bundled, {weights.bundled}")
    if weights.hub:
        state = "" if weights.bundled else f" ({entry.availability()})"
        places.append(f"hf-hub:{weights.hub.repo_id}@{weights.hub.revision}, {weights.hub.file}{state}")
    return f"{'; or '.join(places)}; {_size(entry)}"


def _section(title: str, facts: Mapping[str, Any]) -> None:
    """Print a heading and its facts, in two wrapped columns."""
    import textwrap

    if not facts:
        return
    print(f"\n{title}" if title else "")
    width = max(map(len, facts)) + 4
    for key, value in facts.items():
        # Paths, hashes and commands are not broken, so that they can be copied.
        lines = textwrap.wrap(_text(value), 100 - width, break_long_words=False, break_on_hyphens=False)
        print(f"  {key.ljust(width - 4)}  " + f"\n{' ' * width}".join(lines))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
