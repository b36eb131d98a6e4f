"""``artgan evaluate``: scores of folders of pictures."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from artgan.cli.paint import Device, Format
from artgan.cli.tables import print_table
from artgan.errors import ArtganError, ConfigError, PluginError, printable
from artgan.metrics import NETWORKS, weight_files

if TYPE_CHECKING:
    from artgan.metrics.evaluation import Evaluation, Evaluator
    from artgan.metrics.neighbours import Gap
    from artgan.metrics.profile import Profile

Result = TypeVar("Result")

_TOLD = 10  # broken pictures of a set that are named


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
        typer.Option(
            metavar="NETWORK=FILE", help=f"Weights of {', '.join(NETWORKS)} as a file; else they are downloaded."
        ),
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sheet or plot that exists.")] = False,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
) -> None:
    """Compare generated pictures with real ones: how near they are, how varied, and whether they repeat them."""
    from artgan.images import check_writable
    from artgan.metrics.evaluation import Evaluator

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    artists = _assigned("--artist", artist)
    sheets = {folder: _numbered(nearest, place, len(fake)) for place, folder in enumerate(fake)} if nearest else {}
    if not (names or artists or held_out or nearest or profile):
        raise ConfigError("nothing is asked for: name --metrics, or give --artist, --held-out, --nearest or --profile")
    if real is None and (held_out or nearest):
        raise ConfigError("--held-out and --nearest compare with real pictures: give --real DIR")
    if len(artists) == 1:
        raise ConfigError("--artist is to be given for two artists or more, who are told apart")
    if profile is not None and size < 64:
        raise ConfigError("--profile measures strokes of up to 64 pixels: --size must be at least that")
    try:
        files = weight_files(weights or ())
    except ValueError as error:
        raise ConfigError(f"--weights {error}") from None
    evaluator = Evaluator(real=real, inputs=photos, weights=files, size=size, limit=limit, device=device, cache=cache)
    # What is wrong is told before any work; a set of generated pictures that cannot be read stops no other.
    for path in (*sheets.values(), *([profile] if profile else [])):
        check_writable(path, overwrite=overwrite)
    for known in (real, held_out, *artists.values()):
        if known is not None:
            evaluator.scan(known)
    troubles: list[str] = []

    def attempt(what: str, work: Callable[[], Result]) -> Result | None:
        try:
            return work()
        except ArtganError as error:
            troubles.append(f"{what}: {error}")
            return None

    readable = [folder for folder in fake if attempt("not scored", partial(evaluator.scan, folder))]
    if not readable:
        raise ArtganError("; ".join(trouble.partition(": ")[2] for trouble in troubles))
    evaluations = [evaluator.evaluate(folder, names) for folder in readable]
    report: dict[str, Any] = {"real": real, "sets": [asdict(evaluation) for evaluation in evaluations]}
    if format is Format.text:
        _print(evaluations)
    _warn(evaluations)
    if held_out is not None:
        report["held_out"] = {}
        for folder in readable:
            gap = attempt("--held-out", partial(evaluator.held_out_gap, folder, held_out))
            if gap is not None:
                report["held_out"][folder] = asdict(gap)
                if format is Format.text:
                    _print_gap(folder, gap)
    if artists:
        found = attempt("--artist", partial(evaluator.classify_artists, artists, readable))
        if found is not None:
            classified, notes = found
            report["artists"] = {**classified.to_dict(), "notes": notes}
            for note in notes:
                _tell(note)
            if format is Format.text:
                print("\n" + "\n".join(classified.lines()))
    for folder, path in sheets.items():
        if folder in readable:
            attempt("--nearest", partial(evaluator.draw_nearest, folder, path, overwrite=overwrite))
    if profile is not None:
        from artgan.reports.profile import draw

        profiles = attempt("--profile", partial(_profiles, evaluator, [real, photos, *readable], artists))
        if profiles:
            attempt("--profile", partial(draw, profiles, profile))
            report["profiles"] = {name: found.to_dict() for name, found in profiles.items()}
    report["left_out"] = evaluator.skipped
    for where, problems in evaluator.skipped.items():
        _tell(f"{where}: {len(problems)} pictures are left out")
        for problem in problems[:_TOLD]:
            _tell(f"left out: {problem}")
        if len(problems) > _TOLD:
            _tell(f"left out: {len(problems) - _TOLD} more of {where}; --format json names all")
    for trouble in troubles:
        _tell(trouble)
    report["troubles"] = troubles
    if format is Format.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    if troubles or evaluator.skipped or any(evaluation.failed for evaluation in evaluations):
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
    if rows:
        print_table(["SET", *header] if several else header, rows)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.0f}"


def _print_gap(folder: str, gap: Gap) -> None:
    low, high = gap.interval
    print(
        f"\n{folder}: {gap.train:.4f} from --real, {gap.held_out:.4f} from --held-out; ratio "
        f"{gap.ratio:.3f} ({low:.3f} to {high:.3f}), under 1 where pictures are learned by heart"
    )


def _profiles(evaluator: Evaluator, sets: Sequence[str | None], artists: Mapping[str, str]) -> dict[str, Profile]:
    """By the artists' names, the others by as much of their paths as tells them apart."""
    others = [folder for folder in dict.fromkeys(sets) if folder is not None and folder not in artists.values()]
    short = Counter(Path(folder).name for folder in others)
    named = {Path(f).name if short[Path(f).name] == 1 and Path(f).name not in artists else f: f for f in others}
    return {name: evaluator.profile(folder) for name, folder in {**artists, **named}.items()}


def _warn(evaluations: Sequence[Evaluation]) -> None:
    """Tell what failed and what to beware of, each once."""
    told = [
        line
        for evaluation in evaluations
        for line in (
            *(f"{name}: no score: {why}" for name, why in evaluation.failed.items()),
            *evaluation.notes,
            *(f"{score.name}: {note}" for score in evaluation.scores for note in score.notes),
        )
    ]
    for line in dict.fromkeys(told):
        _tell(line)


def _tell(line: str) -> None:
    """On standard error, in one line whatever names are in it."""
    print(f"artgan: {printable(line)}", file=sys.stderr)


def _assigned(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """NAME=VALUE by name.

    Raises:
        ConfigError: one is no such thing, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        if not (name and value) or name in found:
            raise ConfigError(f"{option} {text}: write NAME=DIR, each name once")
        found[name] = value
    return found


def _numbered(path: Path, place: int, count: int) -> Path:
    """A file for each of several sets."""
    return path if count == 1 else path.with_name(f"{path.stem}-{place + 1}{path.suffix}")


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
