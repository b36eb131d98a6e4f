"""``artgan evaluate``: score sets of generated pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artgan.cli import completing
from artgan.cli.options import Device, EngineName, Format, NetworkFile, address_option, cluster_of, engine_option
from artgan.cli.tables import print_table
from artgan.errors import ConfigError, PluginError, printable

if TYPE_CHECKING:
    from artgan.metrics.evaluation import Report

_LISTED = 10  # maximum number of broken pictures listed per set


def evaluate(
    fake: Annotated[list[str], typer.Option(metavar="DIR", help="Generated pictures; repeat to compare sets.")],
    real: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Real pictures of the kind that the generated ones imitate.", show_default=False
        ),
    ] = None,
    photos: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="The pictures that the generated ones were made from, under the same names.",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            help="Names of scores, separated by commas; --list shows them.", autocompletion=completing.several_scores
        ),
    ] = "fid,kid,style",
    list_: Annotated[
        bool, typer.Option("--list", is_eager=True, callback=lambda wanted: _list(wanted), help="List the scores.")
    ] = False,
    artist: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR",
            help="Real pictures of an artist (or photos), several times: which artist would a classifier attribute the "
            "generated ones to?",
        ),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Real pictures that were not trained on: are the generated ones nearer to --real?",
            show_default=False,
        ),
    ] = None,
    nearest: Annotated[
        Path | None,
        typer.Option(
            metavar="SHEET.png",
            help="Draw generated pictures next to the nearest real ones.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(metavar="PLOT.png", help="Plot palette, contrast and strokes of all sets.", show_default=False),
    ] = None,
    vgg19: NetworkFile = None,
    inception: NetworkFile = None,
    dinov2: NetworkFile = None,
    size: Annotated[
        int,
        typer.Option(
            min=32, max=1024, help="Side at which pictures are compared, for scores that do not prescribe it."
        ),
    ] = 256,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Use at most this many pictures of each set.", show_default=False)
    ] = None,
    device: Device = None,
    cache: Annotated[bool, typer.Option(help="Cache features for later runs.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sheet or plot that exists.")] = False,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
    engine: Annotated[EngineName, engine_option()] = EngineName.local,
    address: Annotated[str | None, address_option()] = None,
) -> None:
    """Compare generated pictures with real ones: how similar and varied they are, and whether they copy them."""
    from artgan.metrics.evaluation import Evaluator

    artists = _assignments("--artist", artist)
    cluster = cluster_of(engine, address)
    with nullcontext() if cluster is None else cluster:
        evaluator = Evaluator(
            real=real,
            inputs=photos,
            vgg19=vgg19,
            inception=inception,
            dinov2=dinov2,
            size=size,
            limit=limit,
            device=device,
            cache=cache,
            cluster=cluster,
        )
        report = evaluator.report(
            fake,
            [name.strip() for name in metrics.split(",") if name.strip()],
            artists=artists,
            held_out=held_out,
            nearest=nearest,
            profile=profile,
            overwrite=overwrite,
        )
    if format is Format.json:
        print(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        _print(report)
    _warn(report)
    if not report.complete:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    header = ["SCORE", "VALUE", "95 % INTERVAL", "REAL", "GENERATED", "EXTRACTOR", "RESIZE"]
    several = len(report.evaluations) > 1
    rows = [
        [
            *([evaluation.fake] if several else []),
            score.name,
            _number(score.value),
            " to ".join(map(_number, score.interval)) if score.interval else "",
            str(score.n[0] or ""),
            str(score.n[1]),
            str(score.details.get("extractor", "")),
            str(score.details.get("resize", "")),
        ]
        for evaluation in report.evaluations
        for score in evaluation.scores
    ]
    if rows:
        print_table(["SET", *header] if several else header, rows)
    for fake, gap in (report.held_out or {}).items():
        low, high = gap.interval
        print(
            f"\n{fake}: {gap.train:.4f} from --real, {gap.held_out:.4f} from --held-out; ratio "
            f"{gap.ratio:.3f} ({low:.3f} to {high:.3f}), below 1 if pictures are memorized"
        )
    if report.artists is not None:
        print("\n" + "\n".join(report.artists.lines()))


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.0f}"


def _warn(report: Report) -> None:
    """Print warnings and failures on standard error, each on one line whatever names it contains."""
    lines = list(dict.fromkeys(warning for evaluation in report.evaluations for warning in evaluation.warnings))
    lines += report.artist_notes
    for name, problems in report.skipped.items():
        lines.append(f"{name}: {len(problems)} pictures are left out")
        lines += [f"left out: {problem}" for problem in problems[:_LISTED]]
        if len(problems) > _LISTED:
            lines.append(f"left out: {len(problems) - _LISTED} more of {name}; --format json lists all")
    for line in [*lines, *report.failures]:
        print(f"artgan: {printable(line)}", file=sys.stderr)


def _assignments(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """Parse NAME=DIR options.

    Raises:
        ConfigError: an option does not have this form, or a name is repeated.
    """
    found: dict[str, str] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        if not (name and value) or name in found:
            raise ConfigError(f"{option} {text}: write NAME=DIR, each name once")
        found[name] = value
    return found


def _list(wanted: bool) -> None:
    if not wanted:
        return
    from artgan.metrics import METRICS
    from artgan.metrics.names import find_metrics, resolve_metric

    rows = []
    for name in (*METRICS, *find_metrics()):
        try:
            cls = resolve_metric(name)
            rows.append([name, cls.against, (cls.__doc__ or "").strip().partition("\n")[0]])
        except PluginError as error:
            rows.append([name, "", str(error)])
    print_table(["SCORE", "AGAINST", "WHAT IT IS"], rows)
    raise typer.Exit
