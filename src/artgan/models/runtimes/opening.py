"""Which runtimes run exported networks, and how one is started. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from artgan.errors import ConfigError
from artgan.models.runtimes.onnx_file import OnnxFile
from artgan.painting.network import Network

_OPENERS = {"onnxruntime": "OnnxNetwork", "openvino": "OpenVinoNetwork"}
"""Runtime, which is also the name of its package and of the module here -> the class that runs a file."""

_INSTALL = {"onnxruntime": "pip install onnxruntime", "openvino": 'pip install "artgan[openvino]"'}

RUNTIMES = ("torch", *_OPENERS)
"""What can run a model."""


def opener(runtime: str) -> Callable[[OnnxFile], Network]:
    """What starts an exported network.

    Raises:
        ConfigError: the runtime is unknown or not installed, or is PyTorch, which does not run exported networks.
    """
    if runtime not in _OPENERS:
        why = "PyTorch does not run exported models" if runtime == "torch" else f"unknown runtime {runtime!r}"
        raise ConfigError(f"{why}; known: {', '.join(RUNTIMES if runtime != 'torch' else _OPENERS)}")
    try:
        module = importlib.import_module(f"artgan.models.runtimes.{runtime}")
    except ImportError as error:
        raise ConfigError(f"the runtime {runtime} needs {runtime}: {_INSTALL[runtime]} ({error})") from None
    found: Callable[[OnnxFile], Network] = getattr(module, _OPENERS[runtime])
    return found
