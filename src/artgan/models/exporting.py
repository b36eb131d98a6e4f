"""Exports a model of PyTorch as a folder that is a model by itself."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from artgan.errors import ExportError
from artgan.models.exported import ExportedModel, write_exported
from artgan.models.folder import CONFIG, EXPORTED
from artgan.models.runtimes.exporting import Exported, export_onnx
from artgan.models.runtimes.int8 import LEAST_PSNR, Quantized, export_int8
from artgan.models.runtimes.onnx_file import read_onnx
from artgan.models.torch_model import TorchModel


def export_model(
    model: TorchModel,
    folder: str | Path,
    *,
    photos: str | Path | None = None,
    least_psnr: float = LEAST_PSNR,
    overwrite: bool = False,
) -> Exported | Quantized:
    """Write a model's folder whose network is an exported file, with its card and an example.

    Args:
        model: paints pictures by one run of its network.
        folder: created if needed.
        photos: quantize to 8-bit integers, calibrated on these; see :func:`artgan.models.runtimes.int8.export_int8`.
        least_psnr: of a quantized model, in dB.
        overwrite: whether a model that the folder holds may be replaced.

    Raises:
        ExportError: the model makes pictures from noise or step by step, or what was exported differs from it; or the
            folder holds a model already.
        WeightsError: the folder cannot be written.
        ConfigError: required packages are not installed.
    """
    folder = Path(folder)
    if model.task != "image-to-image":
        raise ExportError(
            f"{model.name}: makes pictures from noise, which PyTorch draws, so its network alone can be exported: "
            "--onnx FILE"
        )
    if not overwrite and any((folder / name).exists() for name in (EXPORTED, CONFIG)):
        raise ExportError(f"{folder}: holds a model already; give another folder, or --overwrite")
    _, about = model.document()
    with TemporaryDirectory(prefix="artgan-") as place:
        path = Path(place, EXPORTED)
        done: Exported | Quantized
        if photos is not None:
            done = export_int8(model.generator, path, photos, about=about, least_psnr=least_psnr)
        else:
            done = export_onnx(model.generator, path, about=about)
        file = read_onnx(path)
    write_exported(folder, ExportedModel(model.name, file, model.card, model.brushwork, "onnxruntime"), file.data)
    return done
