"""Exported networks run by ONNX Runtime, on the CPU. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
import onnxruntime

from artgan.errors import PictureError, WeightsError, one_line
from artgan.models.runtimes.onnx_file import FEATURES, PAINTINGS, PICTURES, STATISTICS, OnnxFile
from artgan.painting.network import Moments, Network, Norm, Pictures, Place, usable_threads


class OnnxNetwork(Network):
    """An exported network.

    Its graph takes the statistics of instance norms as a further input, 2 x C means and variances of all norms in a
    row. It computes those whose variance is negative, which is the default, from the picture that it is given.

    Args:
        file: checked by :mod:`artgan.models.runtimes.onnx_file`.
        threads: how many work on a picture; :func:`usable_threads` by default.

    Raises:
        WeightsError: ONNX Runtime does not take it.
    """

    thread_safe = True
    portable = True

    def __init__(self, file: OnnxFile, threads: int | None = None) -> None:
        facts = file.facts
        self._file = file
        self._threads = threads or usable_threads()
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        self.stride = facts.stride
        self.minimum_size = facts.minimum_size
        self.reach = facts.reach
        self.norms = len(facts.channels)
        self.memory_per_pixel = facts.memory_per_pixel
        try:
            self._session = open_session(file.data, self._threads)
        except Exception as error:  # ONNX Runtime has many
            raise WeightsError(f"ONNX Runtime cannot load this model ({one_line(error)})") from None
        self._pruned = onnxruntime.RunOptions()
        self._pruned.only_execute_path_to_fetches = True
        self._pruned.log_severity_level = 4

    def __reduce__(self) -> tuple[type[OnnxNetwork], tuple[OnnxFile, int]]:
        """A session cannot be pickled; it is opened again."""
        return OnnxNetwork, (self._file, self._threads)

    def paint(self, pictures: Pictures, options: Mapping[str, Any], places: Sequence[Place] | None = None) -> Pictures:
        """See :meth:`Network.paint`; there are no options."""
        return self._run(PAINTINGS, pictures, None)

    def paint_part(
        self, pictures: Pictures, norm: Norm, options: Mapping[str, Any], places: Sequence[Place] | None = None
    ) -> Pictures:
        """See :meth:`Network.paint_part`."""
        statistics = np.full((2, sum(self._file.facts.channels)), -1, np.float32)
        start = 0
        for call, channels in enumerate(self._file.facts.channels):
            moments = norm(call, _Features(self, FEATURES.format(call), pictures, statistics))
            statistics[:, start : start + channels] = moments.mean, moments.variance
            start += channels
        return self._run(PAINTINGS, pictures, statistics)

    def features(self, name: str, pictures: Pictures, statistics: Pictures) -> Pictures:
        """What enters an instance norm; nothing behind it is computed."""
        return self._run(name, pictures, statistics)

    @property
    def threads(self) -> int:
        """See :attr:`Network.threads`."""
        return self._threads

    @contextmanager
    def one_thread_each(self) -> Iterator[tuple[Network, Callable[[], None]]]:
        """See :meth:`Network.one_thread_each`."""
        yield OnnxNetwork(self._file, threads=1), lambda: None

    def _run(self, name: str, pictures: Pictures, statistics: Pictures | None) -> Pictures:
        given = {PICTURES: np.ascontiguousarray(pictures, np.float32)}
        if statistics is not None:
            given[STATISTICS] = statistics
        try:
            [made] = self._session.run([name], given, self._pruned)
        except Exception as error:  # ONNX Runtime has many
            if "allocate" in str(error) or isinstance(error, MemoryError):
                raise MemoryError(one_line(error)) from None
            raise PictureError(f"ONNX Runtime cannot run this model ({one_line(error)})") from None
        if name == PAINTINGS and made.shape != pictures.shape:
            raise PictureError(f"the model returned {made.shape} for pictures of shape {pictures.shape}")
        return made  # type: ignore[no-any-return]  # of an untyped package


class _Features:
    """What enters an instance norm, computed when it is asked for."""

    def __init__(self, network: OnnxNetwork, name: str, pictures: Pictures, statistics: Pictures) -> None:
        self._made = partial(network.features, name, pictures, statistics)

    @cached_property
    def values(self) -> Pictures:
        """N x C x H x W."""
        return self._made()

    @property
    def size(self) -> tuple[int, int]:
        """See :class:`artgan.painting.network.Features`."""
        return self.values.shape[2], self.values.shape[3]

    def moments(self, rows: slice, columns: slice) -> Moments:
        """See :class:`artgan.painting.network.Features`."""
        kept = self.values[:, :, rows, columns]
        mean, variance = (np.asarray(of(kept, axis=(0, 2, 3), dtype=np.float64)) for of in (np.mean, np.var))
        return Moments(kept[:, 0].size, mean, variance)


def open_session(data: bytes, threads: int) -> Any:
    """Open a model of ONNX Runtime on the CPU.

    Raises:
        Exception: ONNX Runtime's own, if it does not take it.
    """
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # strokes need the cores meanwhile
    # Without fallback: else a file that it does not take is told on standard output, and tried again.
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
