"""Runs generators with runtimes other than PyTorch: exported once to the user's cache, and checked at each start."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import torch

from artgan.errors import ArtganError, ConfigError, ExportError, one_line
from artgan.files import cache_folder, make_room, temporary_folder
from artgan.interfaces import Generator
from artgan.models.runtimes.exporting import (
    Runner,
    check_shapes,
    difference,
    export_onnx,
    refuse_what_is_no_network,
    require_exporter,
)
from artgan.models.runtimes.onnx_file import FORMAT, OnnxFile, read_onnx
from artgan.models.runtimes.opening import RUNTIMES, opener
from artgan.models.runtimes.pytorch import TorchNetwork
from artgan.painting.network import Network

_log = logging.getLogger(__name__)

_CACHE_BYTES = 2e9


def accelerate(generator: Generator, runtime: str, *, key: str = "") -> Network:
    """Have a generator run by another runtime, on the CPU in float32, with the same results.

    The generator is exported once to the user's cache, under a hash of its weights, ``key``, and the versions of artgan
    and PyTorch. A cached file that is unusable, or whose output for a small picture differs from the network's, is
    exported again. Later changes to the weights or by ``torch.set_num_threads`` have no effect.

    Args:
        generator: an image-to-image model on the CPU, in float32.
        runtime: "onnxruntime", "openvino", or "torch".
        key: what identifies the network apart from its weights: plugin and config.

    Raises:
        ConfigError: the runtime is unknown or not installed, or does not support the device or the precision.
        ExportError: the generator is more than a network, or the runtime's output differs from PyTorch's.
        ArtganError: the model does not paint pictures.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(f"unknown runtime {runtime!r}; known: {', '.join(RUNTIMES)}")
    if runtime == "torch":
        return TorchNetwork(generator)
    if generator.task != "image-to-image":
        raise ArtganError(f"the runtime {runtime} is for models that paint, this one's task is {generator.task}")
    refuse_what_is_no_network(generator)
    open_ = opener(runtime)
    for tensor in chain(generator.parameters(), generator.buffers()):
        if tensor.device.type != "cpu" or (tensor.is_floating_point() and tensor.dtype != torch.float32):
            raise ConfigError(
                f"the runtime {runtime} works on the CPU in float32, and the model is on {tensor.device} in "
                f"{tensor.dtype}; load it with neither device nor dtype, or use the runtime torch"
            )
    return _open(generator, open_, key)


def _open(generator: Generator, open_: Callable[[OnnxFile], Network], key: str) -> Network:
    """Open the network from the cached file if that is usable, else export it."""
    shape = check_shapes(generator)[0]
    path = cache_folder("onnx") / f"{_digest(generator, key)}.onnx"
    if path.is_file():
        try:
            network = open_(read_onnx(path))
            difference(_running(network), generator, shape)
            os.utime(path)  # mark as recently used
            return network
        except Exception as error:  # a runtime may raise anything for a damaged file
            _log.info("%s: is made anew (%s)", path, one_line(error))
    require_exporter()
    _log.warning("the model is exported for this runtime and compared with PyTorch, once: up to a minute")
    with _workplace(path.parent) as folder:
        made = export_onnx(generator, folder / path.name).path
        with suppress(OSError):  # the cache is not writable
            made = made.replace(path)  # export_onnx has already synced it to disk
            make_room(path.parent, "*.onnx", _CACHE_BYTES)
        try:
            network = open_(read_onnx(made))
        except Exception as error:
            raise ExportError(f"the runtime cannot load this model ({one_line(error)}); use another") from None
    difference(_running(network), generator, shape)
    return network


def _running(network: Network) -> Runner:
    return lambda pictures: network.paint(pictures, {})


@contextmanager
def _workplace(cache: Path) -> Iterator[Path]:
    """A temporary folder in the cache, or elsewhere if the cache is not writable."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = temporary_folder(cache)
    except OSError:
        folder = tempfile.TemporaryDirectory(prefix="artgan-")
    with folder as name:
        yield Path(name)


def _digest(generator: Generator, key: str) -> str:
    digest = hashlib.sha256(f"{FORMAT}\n{key}\n{version('artgan')}\n{torch.__version__}\n".encode())
    for name, tensor in generator.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().numpy().data)
    return digest.hexdigest()[:32]
