"""Exported networks run by OpenVINO, on the CPU. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from artgan.models.runtimes.onnx_file import PAINTINGS, OnnxFile
from artgan.painting.network import Network, Pictures, Place, usable_threads


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Prevent OpenVINO from sending telemetry when it is imported, by hiding its telemetry package."""
    package = "openvino_telemetry"
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]  # makes the import fail
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]


with _without_telemetry():
    import openvino


class OpenVinoNetwork(Network):
    """An exported network. OpenVINO takes the default of ``statistics`` for a constant: no tiles if there are norms."""

    def __init__(self, file: OnnxFile) -> None:
        facts = file.facts
        self.runtime = f"OpenVINO {openvino.__version__}"
        self.stride = facts.stride
        self.minimum_size = facts.minimum_size
        self.reach = None if facts.channels else facts.reach
        self.memory_per_pixel = facts.memory_per_pixel
        core = openvino.Core()
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": usable_threads(),
            "INFERENCE_PRECISION_HINT": "f32",  # on some processors the default is bfloat16
        }
        compiled = core.compile_model(core.read_model(file.data), "CPU", hints)
        self._output = compiled.output(PAINTINGS)
        self._request = compiled.create_infer_request()
        self._busy = Lock()  # a request is not thread-safe, and callers may paint from several threads

    def paint(self, pictures: Pictures, options: Mapping[str, Any], places: Sequence[Place] | None = None) -> Pictures:
        """See :meth:`Network.paint`; there are no options."""
        with self._busy:
            made = self._request.infer([np.ascontiguousarray(pictures, np.float32)], share_inputs=True)[self._output]
            return np.array(made)

    @property
    def threads(self) -> int:
        """See :attr:`Network.threads`."""
        return usable_threads()
