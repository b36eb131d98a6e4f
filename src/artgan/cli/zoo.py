"""``artgan models``, ``show``, ``plugins`` and ``doctor``: what there is, where it comes from, what is broken."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from artgan.cli.paint import Format

Output = Annotated[Format, typer.Option("--format", help="How results are printed.")]


def models(
    pattern: Annotated[str, typer.Argument(help='Names to list, for example "*monet*".')] = "*",
    format: Output = Format.text,
) -> None:
    """List the models there are."""
    from artgan.plugin import find_plugins
    from artgan.registry import read_registry

    registry, installed = read_registry(), find_plugins()
    entries = [registry.entry(name) for name in registry.names(pattern)]
    if format is Format.json:
        print(json.dumps([entry.to_dict() for entry in entries], indent=2))
        return
    rows = []
    for entry in entries:
        where = "bundled" if entry.weights.bundled else "hub"
        state = where if entry.plugin in installed else "not installed"
        rows.append((entry.name, entry.alias or "", f"{entry.weights.size / 1e6:.1f} MB", state, entry.distribution))
    _table(("MODEL", "ALIAS", "SIZE", "WEIGHTS", "DISTRIBUTION"), rows)
    for problem in registry.problems:
        print(f"artgan: {problem}", file=sys.stderr)


def show(
    model: Annotated[str, typer.Argument(help="A model's name or alias.")],
    format: Output = Format.text,
) -> None:
    """Show a model's card: licence, data, training, measured figures."""
    from artgan.registry import read_registry

    card = read_registry().entry(model).to_dict()
    if format is Format.json:
        print(json.dumps(card, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100), end="")


def plugins(format: Output = Format.text) -> None:
    """List the plugins that are installed; exit status 1 if one is broken."""
    from artgan.plugin import inspect_plugins

    reports = inspect_plugins()
    if format is Format.json:
        from dataclasses import asdict

        print(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        rows = [(r.name, f"{r.distribution} {r.version}", r.summary or "", r.problem or "ok") for r in reports]
        _table(("PLUGIN", "DISTRIBUTION", "WHAT IT IS", "STATE"), rows)
    if any(report.problem for report in reports):
        raise typer.Exit(1)


def doctor() -> None:
    """Check the installation: versions, devices, plugins, registry, bundled weights; exit status 1 on a fault."""
    from artgan.doctor import examine

    findings = examine()
    _table(
        ("CHECK", "STATE", "FOUND"),
        [(finding.check, "ok" if finding.ok else "FAULT", finding.found) for finding in findings],
    )
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as they need: plain text that a pipe can take."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
