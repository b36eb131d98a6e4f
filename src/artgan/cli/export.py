"""``artgan export``: export models to ONNX files, for use in other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name that `artgan models` lists.")],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The file to write.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8-bit integers: smaller and faster; needs --photos.")
    ] = False,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos for calibrating the quantization.", show_default=False)
    ] = None,
    least_psnr: Annotated[
        float, typer.Option(metavar="DB", help="With --int8, the minimum PSNR to the original model's paintings.")
    ] = 38.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
) -> None:
    """Export a model to an ONNX file that accepts pictures of any size, after comparing it with PyTorch."""
    from artgan.errors import ConfigError
    from artgan.models.loading import load
    from artgan.runtimes.exporting import export_onnx
    from artgan.runtimes.int8 import export_int8

    if int8 != (photos is not None):
        raise ConfigError("--int8 and --photos DIR go together: the photos show what range the integers must span")
    loaded = load(model)
    if photos is not None:
        small = export_int8(
            loaded.generator, onnx, photos, about=loaded.origin, least_psnr=least_psnr, overwrite=overwrite
        )
        summary = f"PSNR {small.psnr:.1f} dB on {small.photos[1]} photos, {small.convolutions[0]} of "
        summary += f"{small.convolutions[1]} convolutions in 8-bit integers"
    else:
        exact = export_onnx(loaded.generator, onnx, about=loaded.origin, overwrite=overwrite)
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in exact.shapes)
        summary = f"at most {exact.difference:.1e} from PyTorch, for values in [-1, 1], at {sizes}"
    print(f"artgan: {summary}", file=sys.stderr)
    print(onnx)
