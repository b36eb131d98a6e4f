"""Work spread over the processes of a Ray cluster, by Ray Data (extra ``ray``).

Work is a list of items on disk (:class:`Spool`). Ray Data streams it to a pool of processes, each of which makes what
it works with once, and streams the results back in order: neither items nor results are ever in memory together.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artgan.errors import ArtganError, ConfigError, one_line

if TYPE_CHECKING:
    from types import TracebackType

_LINES = 500  # in a file of a spool: what Ray reads at once
_RETRIES = 3  # of an item whose process or machine ended
_CONNECTING = 20  # seconds
_STORE = 128 << 20  # bytes of shared memory on one machine; only names and results pass through it

Work = Callable[[Any], Any]


class Lost:
    """In place of the result of an item whose process ended each time: too little memory, most likely."""


class Spool:
    """Items in files of a temporary folder, one JSON line each; a context manager, which removes them.

    Args:
        items: JSON types.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="artgan-")
        self.files: list[Path] = []
        self._count = 0
        try:
            self._write(items)
        except BaseException:
            self._folder.cleanup()
            raise

    def _write(self, items: Iterable[Any]) -> None:
        lines = (json.dumps([number, item]) for number, item in enumerate(items))
        while part := [*islice(lines, _LINES)]:
            self.files.append(Path(self._folder.name, f"{len(self.files):08d}"))
            self.files[-1].write_text("\n".join(part), encoding="ascii")
            self._count += len(part)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        for file in self.files:
            for line in _read_lines(file):
                yield json.loads(line)[1]

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()


class Cluster:
    """A connection to Ray; a context manager. If this process is connected already, that connection is used and kept.

    Args:
        address: "auto" or HOST:PORT of a cluster, one of whose nodes this machine is; None: a Ray on this machine,
            which ends with the block.
        processes: at most so many work on a machine of one's own.

    Raises:
        ConfigError: Ray is not installed, or does not answer.
    """

    def __init__(self, address: str | None = None, *, processes: int = 1) -> None:
        if address is not None:
            _check_address(address)  # before Ray's import, which takes seconds
        try:
            # Read when Ray is imported: sends no statistics, and says nothing on the terminal.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
            import ray
            import ray.data
        except ImportError as error:
            raise ConfigError(f'--engine ray needs Ray: pip install "artgan[ray]" ({one_line(error)})') from None
        self._ray = ray
        self._address = address
        self._processes = processes
        self._own = False
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Cluster:
        ray = self._ray
        if ray.is_initialized():
            return self
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        # Messages about processes that ended would be written to standard output, and there is no option against it.
        ray._private.worker._worker_logs_enabled = False
        self._own = True
        try:
            if self._address is None:
                self._folder = tempfile.TemporaryDirectory(prefix="artgan-", ignore_cleanup_errors=True)
                quiet |= {"include_dashboard": False, "object_store_memory": _STORE, "_temp_dir": self._folder.name}
                quiet["num_cpus"] = self._processes
            with _silent():
                ray.init(self._address or "local", **quiet)
        except Exception as error:  # Ray has no common base class of these
            where = "on this machine" if self._address is None else f"at {self._address}"
            self.close()
            raise ConfigError(f"--engine ray: no connection to Ray {where} ({one_line(error)})") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and the processes of a Ray on this machine."""
        if self._own:
            with suppress(Exception):  # nothing depends on how it ends
                self._ray.shutdown()
            self._own = False
        if self._folder is not None:
            self._folder.cleanup()

    def map(
        self,
        make: Callable[[], Work],
        spool: Spool,
        *,
        split: Callable[[Any], Iterable[Any]] = lambda item: [item],
        gpu: bool = False,
    ) -> Iterator[tuple[Any, Any]]:
        """Work on items in the processes of the cluster, one for each CPU or GPU.

        An item whose process or machine ends is given to another one, so that work must be idempotent.

        Args:
            make: called once by each process; returns what works on an item. Both must be picklable, results too.
            spool: the items.
            split: makes smaller items of one whose process ended again and again; by default the same.
            gpu: whether each process needs a GPU.

        Yields:
            Each item with its result, in order; those made by ``split`` come last. The result is :class:`Lost` if the
            process ended with these too.

        Raises:
            ArtganError: what ``make`` raises, or the work on an item.
            ConfigError: the cluster has no GPU, or fails.
        """
        lost = []
        for item, result in self._stream(make, spool, gpu):
            if isinstance(result, Lost):
                lost.append(item)
            else:
                yield item, result
        if lost:
            with Spool(part for item in lost for part in split(item)) as again:
                yield from self._stream(make, again, gpu)

    def _stream(self, make: Callable[[], Work], spool: Spool, gpu: bool) -> Iterator[tuple[Any, Any]]:
        """Each item with its result, in order; last, those that Ray gave up."""
        if not len(spool):
            return
        ray = self._ray
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        pool = int(ray.cluster_resources().get("GPU" if gpu else "CPU", 0))
        if not pool:
            raise ConfigError(f"--engine ray: the cluster has no {'GPU' if gpu else 'CPU'}")
        # Ray reads the spool on this machine, beside processes that have all CPUs.
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        lines = ray.data.read_datasource(_lines(spool.files), num_cpus=0, label_selector=here)
        with warnings.catch_warnings():
            # Of max_task_retries, which has no other name yet; pyproject.toml has the last version that takes it.
            warnings.simplefilter("ignore", DeprecationWarning)
            results = lines.map_batches(
                _Worker,
                fn_constructor_args=(make,),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(pool, len(spool))),
                num_cpus=0 if gpu else 1,
                num_gpus=1 if gpu else 0,
                max_task_retries=_RETRIES,
            )
        context = results.context
        context.target_min_block_size = context.target_max_block_size = 1  # so that each item is a task
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = -1  # the others go on; missing ones are noticed below
        context.execution_options.preserve_order = True
        items, taken, missing = enumerate(spool), 0, dict[int, Any]()
        try:
            for row in results.iter_rows():
                number, result = row["result"]
                if isinstance(result, ArtganError):
                    raise result
                if number not in missing:
                    missing.update(islice(items, number - taken + 1))
                    taken = number + 1
                yield missing.pop(number), result
        except (ArtganError, GeneratorExit):
            raise
        except Exception as error:
            raise ConfigError(
                f"--engine ray: the cluster failed ({one_line(error, kind=True)}); all nodes need artgan[ray] in the "
                "same version"
            ) from None
        missing.update(items)
        for item in missing.values():
            yield item, Lost()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what Ray's own code in C++ says from standard error; its errors are exceptions too."""
    sys.stderr.flush()
    with open(os.devnull, "wb") as nothing:
        kept = os.dup(2)
        try:
            os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _check_address(address: str) -> None:
    """Raise if there is certainly no cluster at an address; Ray itself would wait for minutes."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and "/" not in host):
        raise ConfigError(f"--address {address}: write auto or HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECTING).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(f"--address {address}: no cluster answers there ({one_line(error)})") from None


def _read_lines(file: Path) -> Iterator[str]:
    with file.open(encoding="ascii") as lines:
        yield from lines


def _lines(files: list[Path]) -> Any:
    """The lines of files as a source of Ray Data, each a block of its own."""
    import pyarrow
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    def read(file: Path) -> Iterator[Any]:
        for line in _read_lines(file):
            yield pyarrow.table({"line": [line]})

    class Lines(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *more: Any, **options: Any) -> list[Any]:
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(partial(read, file), unknown) for file in files]

    lines: Any = Lines  # is not typed
    return lines()


class _Worker:
    """What a process of the cluster does."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self._make = make
        self._work: Work | None = None

    def __call__(self, lines: dict[str, Any]) -> dict[str, Any]:
        results = np.empty(len(lines["line"]), object)
        for place, line in enumerate(lines["line"]):
            number, item = json.loads(line)
            results[place] = number, self._result(item)
        return {"result": results}

    def _result(self, item: Any) -> Any:
        try:
            if self._work is None:
                self._work = self._make()
            return self._work(item)
        except ArtganError as error:  # a value, since Ray would wrap it
            return ArtganError(f"on the node {socket.gethostname()}: {error}")
        except Exception as error:
            return ArtganError(f"on the node {socket.gethostname()}: {one_line(error, kind=True)}")
