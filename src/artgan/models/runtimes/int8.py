"""Quantizes exported generators to 8-bit integers, if that preserves the paintings, as measured on photos."""

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

import numpy as np
from numpy.typing import NDArray

from artgan.data import open_pictures
from artgan.data.pictures import evenly
from artgan.errors import ExportError, one_line
from artgan.files import check_writable
from artgan.images import to_floats
from artgan.interfaces import Generator
from artgan.models.runtimes.exporting import (
    Runner,
    atomic_export,
    export_onnx,
    quiet,
    require,
    running,
    store_compactly,
    store_plainly,
)
from artgan.models.runtimes.onnx_file import PICTURES
from artgan.painting.fitting import pad
from artgan.progress import progress

LEAST_PSNR = 38.0
"""The minimum PSNR, in dB: above it, differences are not visible."""

_PHOTOS = 36  # two in three are used for calibration, one in three for measuring
_FEWEST = 6
_SIDE = 256  # longer side of a photo, in pixels
_MOST_IN_FLOAT = 3  # convolutions at either end
_PERCENTILE = 99.99  # of a layer's activations; covering the few values beyond it would make all steps coarser


@dataclass(frozen=True)
class Quantized:
    """What :func:`quantize` wrote.

    Attributes:
        path: the file.
        psnr: PSNR between its paintings and those in float32, in dB, over all measured photos.
        photos: the numbers of photos used for calibration and for measuring, which are different photos.
        convolutions: the number of quantized convolutions, and the total.
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
    """Quantize the convolutions of an exported image-to-image generator to 8-bit integers, calibrated on photos.

    The first and the last convolution stay in float32, or up to three at either end if the paintings suffer: errors are
    most visible there. Weights have one scale per channel, activations one per layer (QDQ, static).

    Args:
        model: a file written by :func:`artgan.models.runtimes.exporting.export_onnx`.
        path: the file to write; the write is atomic.
        photos: a set of photos, as accepted by :func:`artgan.data.open_pictures`; up to 36 are used. The PSNR is
            measured on photos that were not used for calibration.
        least_psnr: the minimum PSNR in dB; a file with a lower one is not kept.
        overwrite: whether an existing file may be replaced.

    Raises:
        ExportError: ``model`` is not an exported generator, the PSNR is too low, or the file cannot be written.
        PictureError: the photos cannot be read.
        ConfigError: required packages are not installed.
    """
    onnx = require("onnx", "onnx", "quantizing")
    require("onnxruntime", "onnx", "quantizing")
    try:
        data = Path(model).read_bytes()
        source = onnx.load_model_from_string(data)
        about = json.loads({entry.key: entry.value for entry in source.metadata_props}["artgan"])
        stride, least = int(about["facts"]["stride"]), int(about["facts"]["minimum_size"])
        exact = running(data)
    except Exception as error:  # of protocol buffers, of ONNX Runtime
        raise ExportError(f"{model}: not an ONNX file exported by artgan ({one_line(error)})") from None
    if source.graph.input[0].name != PICTURES:
        raise ExportError(f"{model}: makes pictures from noise; 8-bit integers are for models that paint")
    store_plainly(source)
    names = [node.name for node in source.graph.node if node.op_type == "Conv"]
    with (
        atomic_export(path, overwrite=overwrite) as part,
        TemporaryDirectory(prefix="artgan-") as folder,
    ):
        plain = Path(folder, "plain.onnx")
        onnx.save_model(source, plain)
        seen = _photos(photos, stride, least)
        measured = seen[::3]
        calibrating = [photo for index, photo in enumerate(seen) if index % 3]
        for ends in range(1, _MOST_IN_FLOAT + 1):
            chosen = names[ends:-ends]
            if not chosen:
                raise ExportError(f"{model}: has {len(names)} convolutions, too few to put any in 8-bit integers")
            _quantize(plain, part, calibrating, chosen)
            quantized = onnx.load(part)
            # The quantizer declares domains of operators, whether it uses them or not.
            used = {node.domain for node in quantized.graph.node}
            opsets = [opset for opset in quantized.opset_import if opset.domain in used]
            del quantized.opset_import[:]
            quantized.opset_import.extend(opsets)
            store_compactly(quantized)
            part.write_bytes(quantized.SerializeToString())
            psnr = _psnr(running(part.read_bytes()), exact, measured)
            if psnr >= least_psnr:
                return Quantized(Path(path), psnr, (len(calibrating), len(measured)), (len(chosen), len(names)))
        raise ExportError(
            f"{path}: not written: in 8-bit integers the paintings reach {psnr:.1f} dB, less than {least_psnr:g}"
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
    """Write a generator as an 8-bit ONNX file: ``export_onnx`` of ``exporting``, then :func:`quantize`.

    Raises:
        ArtganError: as for these two.
    """
    if generator.task != "image-to-image":
        raise ExportError("this model makes pictures from noise; 8-bit integers are for models that paint")
    check_writable(Path(path), overwrite=overwrite, error=ExportError)
    with TemporaryDirectory(prefix="artgan-") as folder:
        exact = export_onnx(generator, Path(folder, "float32.onnx"), about=about).path
        return quantize(exact, path, photos, least_psnr=least_psnr, overwrite=overwrite)


def _photos(location: str | Path, stride: int, minimum_size: int) -> list[NDArray[np.float32]]:
    """Small photos, evenly spread over a set: 1 x 3 x H x W each, padded to sizes that the generator accepts."""
    pictures = open_pictures(location)
    if len(pictures) < _FEWEST:
        raise ExportError(f"{location}: has {len(pictures)} photos, at least {_FEWEST} are needed")
    photos = []
    for place in evenly(len(pictures), min(_PHOTOS, len(pictures))):
        photo = pictures[place]
        photo.thumbnail((_SIDE, _SIDE))
        photos.append(pad(to_floats(photo)[None], stride, minimum_size))
    return photos


def _quantize(model: Path, path: Path, photos: Sequence[NDArray[np.float32]], convolutions: Sequence[str]) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # of an untyped package
        """Yields the photos one by one, optionally restricted to a range."""

        def __init__(self) -> None:
            self.set_range(0, len(photos))

        def __len__(self) -> int:
            return len(photos)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(photos[start_index:end_index])

        def get_next(self) -> dict[str, Any] | None:
            photo = next(self.left, None)
            return None if photo is None else {"pictures": photo}

    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # it warns of the default of `statistics`
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
            # One photo at a time; otherwise it keeps all layers' activations for all photos in memory.
            extra_options={"CalibPercentile": _PERCENTILE, "CalibStridedMinMax": 1},
        )


def _psnr(run: Runner, exact: Runner, photos: Sequence[NDArray[np.float32]]) -> float:
    """PSNR over all photos together, in dB, for values in [-1, 1]."""
    squares, count = 0.0, 0
    with progress("measuring", len(photos)) as advance:
        for photo in photos:
            error = run(photo) - exact(photo)
            squares += float(np.square(error, dtype=np.float64).sum())
            count += error.size
            advance()
    return 10 * math.log10(4 * count / squares) if squares else math.inf
