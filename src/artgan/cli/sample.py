"""``artgan sample``: generate pictures from noise."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from artgan.cli import completing
from artgan.cli.options import Device, Format, NetworkFile


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
    _check(
        [("--nearest", nearest), ("--like", like), ("--interpolate" if interpolate else "--to", to or film or None)],
        {"--like": (like, {"--steps": steps, "--vgg19": vgg19}), "a film": (film, {"--frames": frames, "--fps": fps})},
    )
    if like is not None and vector is not None:
        raise ConfigError("--like and --vector cannot be combined")
    if film and to is not None and number is not None:
        raise ConfigError("-n: for a film from one picture to another, use --frames instead")
    loaded = load_torch_model(plain, device=device)  # first, as it says which plugin to install
    from artgan.sampling.sampling import Point, write_files, write_grid, write_loop, write_neighbors, write_way

    if loaded.task != "noise-to-image":
        loaded.sample()  # raises an error that says what the model does instead
    generator = loaded.generator
    first = next((given for given in (named, seed) if given is not None), 0)
    single = (named is not None or vector is not None) and not film
    count = number or (1 if single and to is None else 16)
    points: list[Point] = [*range(first, first + count)]
    if vector is not None:
        from artgan.sampling.vector_file import read_vector

        points = [read_vector(vector, size=generator.noise_size, digest=loaded.digest), *points[:-1]]
    results: Sequence[dict[str, Any]]
    if like is not None:
        from artgan.sampling.likeness import write_like

        results = [
            write_like(
                generator,
                like,
                out,
                model=loaded.name,
                digest=loaded.digest,
                count=number or 4,
                seed=first,
                steps=steps or 200,
                vgg19=vgg19,
                noise=noise,
                overwrite=overwrite,
            )
        ]
    elif nearest is not None:
        results = write_neighbors(generator, points, nearest, neighbors, out, noise=noise, overwrite=overwrite)
    elif film:
        way = points if to is None else [points[0], to]
        results = write_loop(generator, way, out, frames=frames or 25, rate=fps or 25, noise=noise, overwrite=overwrite)
    elif to is not None:
        results = write_way(generator, points[0], to, count, out, noise=noise, overwrite=overwrite)
    elif out.suffix and not out.is_dir():
        results = write_grid(generator, points, out, noise=noise, overwrite=overwrite)
    else:
        results = write_files(generator, points, out, noise=noise, overwrite=overwrite)
    if format is Format.json:
        print(json.dumps([_with_names(result, loaded.name) for result in results], indent=2))
    else:
        for result in results:
            for line in _lines(result, loaded.name, noise):
                print(line)


def _check(
    alternatives: Sequence[tuple[str, object]], needs: Mapping[str, tuple[object, Mapping[str, object]]]
) -> None:
    """Refuse options that do not go together.

    Args:
        alternatives: options of which one may be given, with their values.
        needs: what options need, whether it is given, and these options with their values.

    Raises:
        ConfigError: see its message.
    """
    from artgan.errors import ConfigError

    given = [option for option, value in alternatives if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{given[0]} and {given[1]} cannot be combined")
    for needed, (there, options) in needs.items():
        alone = [option for option, value in options.items() if value is not None]
        if alone and not there:
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
