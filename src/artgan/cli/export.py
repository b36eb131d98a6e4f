"""``artgan export``: models that need neither their plugin nor PyTorch, and ONNX files for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from artgan.cli import completing


def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A name that `artgan models` lists.", autocompletion=completing.painters),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for a model that paints without its plugin and without PyTorch.",
            show_default=False,
        ),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="The network alone, as a file.", show_default=False)
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8-bit integers: smaller and faster; needs --photos.")
    ] = False,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos for calibrating the quantization.", show_default=False)
    ] = None,
    least_psnr: Annotated[
        float, typer.Option(metavar="DB", help="With --int8, the minimum PSNR to the original model's paintings.")
    ] = 38.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")] = False,
) -> None:
    """Export a model that paints pictures of any size with ONNX Runtime, after comparing it with PyTorch.

    A folder (--out) is a model: local-dir:DIR for artgan, and ready for artgan publish.
    """
    from artgan.errors import ConfigError
    from artgan.models.loading import load_torch_model

    if int8 != (photos is not None):
        raise ConfigError("--int8 and --photos DIR go together: the photos calibrate the quantization")
    target = out or onnx
    if target is None or (out and onnx):
        raise ConfigError("give one of --out DIR, for a model, and --onnx FILE, for the network alone")
    loaded = load_torch_model(model)  # first, as it says which plugin to install
    from artgan.models.runtimes.exporting import Exported, export_onnx
    from artgan.models.runtimes.int8 import Quantized, export_int8

    done: Exported | Quantized
    if out is not None:
        from artgan.models.exporting import export_model

        done = export_model(loaded, out, photos=photos, least_psnr=least_psnr, overwrite=overwrite)
    elif photos is not None:
        done = export_int8(
            loaded.generator, target, photos, about=loaded.document()[1], least_psnr=least_psnr, overwrite=overwrite
        )
    else:
        done = export_onnx(loaded.generator, target, about=loaded.document()[1], overwrite=overwrite)
    if isinstance(done, Quantized):
        summary = f"PSNR {done.psnr:.1f} dB on {done.photos[1]} photos, {done.convolutions[0]} of "
        summary += f"{done.convolutions[1]} convolutions in 8-bit integers"
    else:
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in done.shapes)
        summary = f"at most {done.difference:.1e} from PyTorch, for values in [-1, 1], at {sizes}"
    print(f"artgan: {summary}", file=sys.stderr)
    print(target)
