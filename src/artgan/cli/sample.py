"""``artgan sample``: generate pictures from noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from artgan.cli import completing
from artgan.cli.options import Device, Format


def sample(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A name that `artgan models` lists.", autocompletion=completing.samplers),
    ],
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=100_000, help="Number of pictures.")] = 16,
    seed: Annotated[
        int, typer.Option(min=0, max=2**62, help="Seed of the first picture; it increases by one for each further one.")
    ] = 0,
    noise: Annotated[
        str | None,
        typer.Option(
            help='A noise other than the model\'s own, such as "uniform(-1,1)".',
            show_default=False,
            autocompletion=completing.noises,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A picture file for a grid of all, or a folder for one file each.")
    ] = Path("samples.png"),
    to: Annotated[
        int | None,
        typer.Option(min=0, max=2**62, help="Interpolate from --seed to this seed.", show_default=False),
    ] = None,
    nearest: Annotated[
        str | None,
        typer.Option(metavar="PICTURES", help="Show the most similar real pictures next to each.", show_default=False),
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, max=20, help="With --nearest, how many to show.")] = 4,
    device: Device = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
) -> None:
    """Generate pictures from noise: a grid, single files, an interpolation, or each next to its nearest real ones."""
    from artgan.errors import ConfigError
    from artgan.models.loading import load_torch_model

    if to is not None and nearest is not None:
        raise ConfigError("--to and --nearest do not go together")
    loaded = load_torch_model(model, device=device)  # first, as it says which plugin to install
    from artgan.sampling.sampling import write_files, write_grid, write_neighbours, write_way

    if loaded.task != "noise-to-image":
        loaded.sample()  # raises an error that says what the model does instead
    generator = loaded.generator
    seeds = range(seed, seed + number)
    if nearest is not None:
        results = write_neighbours(generator, seeds, nearest, neighbours, out, noise=noise, overwrite=overwrite)
    elif to is not None:
        results = write_way(generator, seed, to, number, out, noise=noise, overwrite=overwrite)
    elif out.suffix and not out.is_dir():
        results = write_grid(generator, seeds, out, noise=noise, overwrite=overwrite)
    else:
        results = write_files(generator, seeds, out, noise=noise, overwrite=overwrite)
    if format is Format.json:
        print(json.dumps(results, indent=2))
    else:
        for path in dict.fromkeys(result["output"] for result in results):
            print(path)
