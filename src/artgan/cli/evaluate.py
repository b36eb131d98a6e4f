"""``artgan evaluate``: scores of folders of pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artgan.cli.paint import Device, Format
from artgan.cli.tables import print_table
from artgan.errors import ConfigError

if TYPE_CHECKING:
    from artgan.metrics.evaluation import Evaluation

Pictures = Annotated[str | None, typer.Option(metavar="DIR", show_default=False)]


def evaluate(
    fake: Annotated[list[str], typer.Option(metavar="DIR", help="Generated pictures; several times to compare.")],
    real: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Real pictures of the kind that was to be generated.", show_default=False),
    ] = None,
    photos: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="What the generated ones were made from, under the same names.",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="Scores, by name, with commas between them; --list shows them.")
    ] = "fid,kid,style",
    list_: Annotated[
        bool, typer.Option("--list", is_eager=True, callback=lambda wanted: _list(wanted), help="List the scores.")
    ] = False,
    artist: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR",
            help="Real pictures of an artist (or of photos), several times: for whose pictures are the generated "
            "ones taken?",
        ),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Real pictures that no training saw: are the generated ones nearer to --real?",
            show_default=False,
        ),
    ] = None,
    nearest: Annotated[
        Path | None,
        typer.Option(
            metavar="SHEET.png",
            help="Draw generated pictures beside the real ones that are nearest.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(metavar="PLOT.png", help="Draw palette, contrast and strokes of all sets.", show_default=False),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK=FILE", help="Weights of inception, vgg19 or dinov2 [default: downloaded]."),
    ] = None,
    size: Annotated[
        int,
        typer.Option(min=32, max=1024, help="Side at which pictures are compared, where a score does not fix it."),
    ] = 256,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Use only so many pictures of each set.", show_default=False)
    ] = None,
    device: Device = None,
    cache: Annotated[bool, typer.Option(help="Keep features for the next time.")] = True,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
) -> None:
    """Compare generated pictures with real ones: how near they are, how varied, and whether they repeat them."""
    from artgan.metrics.evaluation import Evaluator

    evaluator = Evaluator(
        real=real,
        inputs=photos,
        weights={network: Path(file) for network, file in _assigned("--weights", weights).items()},
        size=size,
        limit=limit,
        device=device or "cpu",
        cache=cache,
    )
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    artists = _assigned("--artist", artist)
    evaluations = [evaluator.evaluate(folder, names) for folder in fake]
    report: dict[str, Any] = {"real": real, "sets": [asdict(evaluation) for evaluation in evaluations]}
    if held_out is not None:
        report["held_out"] = {folder: asdict(evaluator.held_out_gap(folder, held_out)) for folder in fake}
    classified = evaluator.artists(artists, fake) if artists else None
    if classified is not None:
        report["artists"] = classified.to_dict()
    if nearest is not None:
        for place, folder in enumerate(fake):
            evaluator.draw_nearest(folder, _numbered(nearest, place, len(fake)))
    if profile is not None:
        from artgan.metrics.profile import draw

        sets = {Path(x).name or x: x for x in (real, photos, *artists.values(), *fake) if x is not None}
        profiles = evaluator.profiles(sets)
        draw(profiles, profile)
        report["profiles"] = {name: profile.to_dict() for name, profile in profiles.items()}

    if format is Format.json:
        print(json.dumps(report, indent=2))
    else:
        _print(evaluations)
        for folder, gap in report.get("held_out", {}).items():
            low, high = gap["interval"]
            print(
                f"\n{folder}: {gap['train']:.4f} from --real, {gap['held_out']:.4f} from --held-out; ratio "
                f"{gap['ratio']:.3f} ({low:.3f} to {high:.3f}), under 1 where pictures are learned by heart"
            )
        if classified is not None:
            print("\n" + "\n".join(classified.lines()))
    _warn(evaluations)
    if not any(evaluation.scores for evaluation in evaluations) and names:
        raise typer.Exit(2)
    if any(evaluation.failed or evaluation.skipped for evaluation in evaluations):
        raise typer.Exit(1)


def _print(evaluations: Sequence[Evaluation]) -> None:
    header = ["SCORE", "VALUE", "95 % INTERVAL", "REAL", "GENERATED", "EXTRACTOR", "RESIZE"]
    several = len(evaluations) > 1
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
        for evaluation in evaluations
        for score in evaluation.scores
    ]
    print_table(["GENERATED", *header] if several else header, rows)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.0f}"


def _warn(evaluations: Sequence[Evaluation]) -> None:
    """Tell what failed, what was left out and what to beware of, each once."""
    told = [
        line
        for evaluation in evaluations
        for line in (
            *(f"{name}: no score: {reason}" for name, reason in evaluation.failed.items()),
            *(f"left out: {problem}" for problem in evaluation.skipped),
            *evaluation.notes,
            *(f"{score.name}: {note}" for score in evaluation.scores for note in score.notes),
        )
    ]
    for line in dict.fromkeys(told):
        print(f"artgan: {line}", file=sys.stderr)


def _assigned(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """NAME=VALUE by name.

    Raises:
        ConfigError: one is no such thing, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in found:
            raise ConfigError(f"{option} {text}: write NAME=VALUE, each name once")
        found[name] = value
    return found


def _numbered(path: Path, place: int, count: int) -> Path:
    """A file for each of several sets."""
    return path if count == 1 else path.with_name(f"{path.stem}-{place + 1}{path.suffix}")


def _list(wanted: bool) -> None:
    if not wanted:
        return
    from artgan.metrics import METRICS
    from artgan.plugin import find_metrics, resolve_metric

    names = [*METRICS, *find_metrics()]
    print_table(
        ["SCORE", "AGAINST", "WHAT IT IS"],
        [[name, (cls := resolve_metric(name)).against, (cls.__doc__ or "").strip().split("\n")[0]] for name in names],
    )
    raise typer.Exit
