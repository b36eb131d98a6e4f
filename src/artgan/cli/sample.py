"""``artgan sample``: generate pictures from noise."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artgan.cli import completing
from artgan.cli.options import Device, Format, NetworkFile, given

if TYPE_CHECKING:
    from artgan.interfaces import Generator
    from artgan.models.torch_model import TorchModel
    from artgan.sampling.sampling import Point


def sample(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[#SEED]",
            help="A name that `artgan models` lists; with #SEED the picture of that seed.",
            autocompletion=completing.samplers,
        ),
    ],
    number: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--number",
            min=1,
            max=100_000,
            help="Number of pictures. \\[default: 16; 1 for MODEL#SEED and --vector; 4 for --like]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**62,
            help="Seed of the first picture; it increases by one for each further one. \\[default: 0]",
            show_default=False,
        ),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help='A noise other than the model\'s own, such as "uniform(-1,1)".',
            show_default=False,
            autocompletion=completing.noises,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="A picture file for a grid of all, a folder for one file each, or a film."),
    ] = Path("samples.png"),
    to: Annotated[
        int | None,
        typer.Option(min=0, max=2**62, help="Interpolate from the first picture to this seed.", show_default=False),
    ] = None,
    interpolate: Annotated[
        bool,
        typer.Option(
            "--interpolate",
            help="A film through all pictures, or to --to, and back: .gif, .webp, .avif, .png (APNG), or .mp4 and the "
            "like. Implied by --to with -o NAME.gif or a film.",
        ),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="Frames of a film from one picture to the next. \\[default: 25]", show_default=False
        ),
    ] = None,
    fps: Annotated[
        int | None,
        typer.Option(min=1, max=60, help="Frames per second of a film. \\[default: 25]", show_default=False),
    ] = None,
    nearest: Annotated[
        str | None,
        typer.Option(metavar="PICTURES", help="Show the most similar real pictures next to each.", show_default=False),
    ] = None,
    neighbors: Annotated[int, typer.Option(min=1, max=20, help="With --nearest, how many to show.")] = 4,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTO",
            help="Find the picture that is most like a photo, and the -n most similar of 64 seeds; the found vector is "
            "written next to the sheet, as NAME.json.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="With --like, steps of the search. \\[default: 200]", show_default=False),
    ] = None,
    vgg19: NetworkFile = None,
    vector: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Begin with the picture of a vector that --like found.", show_default=False),
    ] = None,
    device: Device = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
) -> None:
    """Generate pictures from noise: a grid, single files, a film, or the picture most similar to a photo."""
    from artgan.errors import ConfigError
    from artgan.images import film_format
    from artgan.models.loading import load_torch_model, split_seed

    plain, named = split_seed(model)
    if named is not None and seed is not None:
        raise ConfigError(f"{model} --seed {seed}: two seeds; give one of them")
    film = interpolate or (to is not None and (film_format(out) is not None or out.suffix.lower() == ".gif"))
    search, pace = {"--steps": steps, "--vgg19": vgg19}, {"--frames": frames, "--fps": fps}
    between = ("--interpolate", True) if interpolate else ("--to", to)
    _check(
        [[("--nearest", nearest), ("--like", like), between], [("--like", like), ("--vector", vector)]],
        {"--like": (like, search), "a film": (film, pace)},
    )
    if film and to is not None and number is not None:
        raise ConfigError("-n: for a film from one picture to another, use --frames instead")
    loaded = load_torch_model(plain, device=device)  # first, as it says which plugin to install
    if loaded.task != "noise-to-image":
        loaded.sample()  # raises an error that says what the model does instead
    first = next((one for one in (named, seed) if one is not None), 0)
    common: dict[str, Any] = {"noise": noise, "overwrite": overwrite}
    results: Sequence[dict[str, Any]]
    if like is not None:
        from artgan.sampling.likeness import write_like

        known: dict[str, Any] = {"model": loaded.name, "digest": loaded.digest, "seed": first}
        chosen = given({"count": number, "steps": steps, "vgg19": vgg19})
        results = [write_like(loaded.generator, like, out, **known, **chosen, **common)]
    else:
        single = (named is not None or vector is not None) and not film and to is None
        points = _points(loaded, first, number or (1 if single else 16), vector)
        results = _write(loaded.generator, points, out, nearest, neighbors, to, pace if film else None, common)
    if format is Format.json:
        print(json.dumps([_with_names(result, loaded.name) for result in results], indent=2))
    else:
        for result in results:
            for line in _lines(result, loaded.name, noise):
                print(line)


def _points(model: TorchModel, first: int, count: int, vector: Path | None) -> list[Point]:
    """The seeds of so many pictures; a vector is the first of them."""
    seeds = range(first, first + count)
    if vector is None:
        return [*seeds]
    from artgan.sampling.vector_file import read_vector

    return [read_vector(vector, size=model.generator.noise_size, digest=model.digest), *seeds[:-1]]


def _write(
    generator: Generator,
    points: list[Point],
    out: Path,
    nearest: str | None,
    neighbors: int,
    to: int | None,
    film: Mapping[str, int | None] | None,
    common: Mapping[str, Any],
) -> Sequence[dict[str, Any]]:
    """Write what is asked for: pictures next to similar ones, a film, a row, a grid or single files.

    Args:
        generator: makes the pictures.
        points: the pictures.
        out: a file or a folder.
        nearest: the set of pictures in which similar ones are looked for.
        neighbors: how many of these.
        to: the seed of the last picture of a row or a film.
        film: the options of a film, if there is to be one.
        common: options of all these.
    """
    from artgan.sampling.sampling import write_files, write_grid, write_loop, write_neighbors, write_way

    if nearest is not None:
        return write_neighbors(generator, points, nearest, neighbors, out, **common)
    if film is not None:
        way = points if to is None else [points[0], to]
        return write_loop(generator, way, out, frames=film["--frames"] or 25, rate=film["--fps"] or 25, **common)
    if to is not None:
        return write_way(generator, points[0], to, len(points), out, **common)
    if out.suffix and not out.is_dir():
        return write_grid(generator, points, out, **common)
    return write_files(generator, points, out, **common)


def _check(
    alternatives: Sequence[Sequence[tuple[str, object]]], needs: Mapping[str, tuple[object, Mapping[str, object]]]
) -> None:
    """Refuse options that do not go together.

    Args:
        alternatives: groups of options of which one may be given, with their values.
        needs: what options need, whether it is given, and these options with their values.

    Raises:
        ConfigError: see its message.
    """
    from artgan.errors import ConfigError

    for group in alternatives:
        there = [option for option, value in group if value is not None]
        if len(there) > 1:
            raise ConfigError(f"{there[0]} and {there[1]} cannot be combined")
    for needed, (wanted, options) in needs.items():
        alone = [option for option, value in options.items() if value is not None]
        if alone and not wanted:
            raise ConfigError(f"{alone[0]} is for {needed}" + (": --interpolate" if needed == "a film" else ""))


def _with_names(result: dict[str, Any], model: str) -> dict[str, Any]:
    """A result with the name of each picture that has a seed."""
    named = {"picture": f"{model}#{result['seed']}", **result} if "seed" in result else result
    if "vector" in result:
        return {**named, "nearest": [_with_names(each, model) for each in result["nearest"]]}
    return named


def _lines(result: dict[str, Any], model: str, noise: str | None) -> list[str]:
    """A result for people: each file, and the name of its picture as ``artgan sample`` takes it."""
    suffix = "" if noise is None else f" --noise {shlex.quote(noise)}"
    if "vector" in result:
        lines = [f"{result['output']}", f"{result['vector']}  score {result['score']:.4f}"]
        return lines + [f"{model}#{each['seed']}{suffix}  score {each['score']:.4f}" for each in result["nearest"]]
    names = [f"{model}#{result['seed']}{suffix}"] if "seed" in result else []
    names += [f"to {model}#{result['to']}{suffix}"] if "to" in result else []
    return ["  ".join([result["output"], *names])]
