"""Exported generators in 8-bit integers, where that keeps the paintings: measured on photos."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from artgan import images
from artgan.data import open_pictures
from artgan.data.pictures import evenly
from artgan.errors import ExportError, one_line
from artgan.files import check_writable
from artgan.interfaces import Generator
from artgan.painting.fitting import pad
from artgan.progress import progress
from artgan.runtimes.onnx import (
    Run,
    atomic_export,
    export_onnx,
    open_onnxruntime,
    quiet,
    require,
)

LEAST_PSNR = 38.0
"""In dB: what differs by less is not seen."""

_PHOTOS = 36  # of which two in three calibrate, and one in three measures
_FEWEST = 6
_SIDE = 256  # pixels of a photo's longer side
_MOST_IN_FLOAT = 3  # convolutions at either end
_PERCENTILE = 99.99  # of what a layer sees; the few values beyond it would make all steps coarser


@dataclass(frozen=True)
class Quantized:
    """What :func:`quantize` wrote.

    Attributes:
        path: the file.
        psnr: of its paintings to those in float32, in dB, over all photos that were measured.
        photos: how many photos calibrated, and how many others were measured.
        convolutions: how many there are in integers, and in all.
    """

    path: Path
    psnr: float
    photos: tuple[int, int]
    convolutions: tuple[int, int]


def quantize(
    model: str | Path,
    path: str | Path,
    photos: str | Path,
    *,
    least_psnr: float = LEAST_PSNR,
    overwrite: bool = False,
) -> Quantized:
    """Write an exported image-to-image generator with its convolutions in 8-bit integers, scaled by what photos show.

    The first and the last convolution stay in float32, and where the paintings suffer up to three at either end: that
    is where an error is seen most. Weights have a scale a channel, activations one a layer (QDQ, static).

    Args:
        model: a file that :func:`artgan.runtimes.onnx.export_onnx` wrote.
        path: the file to write. It appears complete or not at all.
        photos: a set of photos, as :func:`artgan.data.open_pictures` takes it; up to 36 are used. The PSNR is measured
            on photos that did not set the scales.
        least_psnr: a file of a lower PSNR is not kept, in dB.
        overwrite: whether an existing file may be replaced.

    Raises:
        ExportError: it is no exported generator, paints worse than that, or cannot be written.
        PictureError: the photos cannot be read.
        ConfigError: the packages that this needs are not installed.
    """
    onnx = require("onnx", "onnx", "quantizing")
    require("onnxruntime", "onnx", "quantizing")
    try:
        source = onnx.load(model)
        told = json.loads({entry.key: entry.value for entry in source.metadata_props}["artgan"])
        stride, least = int(told["stride"]), int(told["minimum_size"])
        exact = open_onnxruntime(Path(model))
    except Exception as error:  # of protocol buffers, of ONNX Runtime
        raise ExportError(f"{model}: no ONNX file that artgan exported ({one_line(error)})") from None
    if source.graph.input[0].name != "pictures":
        raise ExportError(f"{model}: makes pictures from noise; 8-bit integers are for models that paint")
    names = [node.name for node in source.graph.node if node.op_type == "Conv"]
    with atomic_export(path, overwrite=overwrite) as part:
        seen = _photos(photos, stride, least)
        measured = seen[::3]
        calibrating = [photo for index, photo in enumerate(seen) if index % 3]
        for ends in range(1, _MOST_IN_FLOAT + 1):
            chosen = names[ends:-ends]
            if not chosen:
                raise ExportError(f"{model}: has {len(names)} convolutions, too few to put any in 8-bit integers")
            _quantize(Path(model), part, calibrating, chosen)
            psnr = _psnr(open_onnxruntime(part), exact, measured)
            if psnr >= least_psnr:
                return Quantized(Path(path), psnr, (len(calibrating), len(measured)), (len(chosen), len(names)))
        raise ExportError(
            f"{path}: not written: in 8-bit integers the paintings keep {psnr:.1f} dB, where {least_psnr:g} are wanted"
        )


def export_int8(
    generator: Generator,
    path: str | Path,
    photos: str | Path,
    *,
    about: Mapping[str, Any] | None = None,
    least_psnr: float = LEAST_PSNR,
    overwrite: bool = False,
) -> Quantized:
    """Write a generator as an 8-bit ONNX file: :func:`artgan.runtimes.onnx.export_onnx`, then :func:`quantize`.

    Raises:
        ArtganError: as they do.
    """
    if generator.task != "image-to-image":
        raise ExportError("this model makes pictures from noise; 8-bit integers are for models that paint")
    check_writable(Path(path), overwrite=overwrite, error=ExportError)
    with TemporaryDirectory(prefix="artgan-") as folder:
        exact = export_onnx(generator, Path(folder, "float32.onnx"), about=about).path
        return quantize(exact, path, photos, least_psnr=least_psnr, overwrite=overwrite)


def _photos(location: str | Path, stride: int, minimum_size: int) -> list[Tensor]:
    """Photos from all over a set, 1 x 3 x H x W each, small and of sides that the generator takes."""
    pictures = open_pictures(location)
    if len(pictures) < _FEWEST:
        raise ExportError(f"{location}: has {len(pictures)} photos, at least {_FEWEST} are needed")
    photos = []
    for place in evenly(len(pictures), min(_PHOTOS, len(pictures))):
        photo = pictures[place]
        photo.thumbnail((_SIDE, _SIDE))
        photos.append(pad(images.to_tensor(photo)[None], stride, minimum_size))
    return photos


def _quantize(model: Path, path: Path, photos: Sequence[Tensor], convolutions: Sequence[str]) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # of an untyped package
        """Hands over one photo after another, those of a range if it is told one."""

        def __init__(self) -> None:
            self.set_range(0, len(photos))

        def __len__(self) -> int:
            return len(photos)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(photos[start_index:end_index])

        def get_next(self) -> dict[str, Any] | None:
            photo = next(self.left, None)
            return None if photo is None else {"pictures": photo.numpy()}

    with quiet(), redirect_stdout(io.StringIO()):
        quantize_static(
            model,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=list(convolutions),
            calibrate_method=CalibrationMethod.Percentile,
            # One photo at a time: it would hold all layers' values of all photos.
            extra_options={"CalibPercentile": _PERCENTILE, "CalibStridedMinMax": 1},
        )


def _psnr(run: Run, exact: Run, photos: Sequence[Tensor]) -> float:
    """In dB, of all photos together, where numbers range over [-1, 1]."""
    squares, count = 0.0, 0
    with progress("measuring", len(photos)) as advance:
        for photo in photos:
            error = run(photo) - exact(photo)
            squares += float(error.double().square().sum())
            count += error.numel()
            advance()
    return 10 * math.log10(4 * count / squares) if squares else math.inf
