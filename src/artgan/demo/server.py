"""Serves the page: the socket, the temporary folder, and the end, in whatever way it comes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from artgan.errors import ConfigError, one_line
from artgan.files import remove_unfinished, temporary_folder

_PATIENCE = 2  # seconds that open connections get at the end


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    token: str | None = None,
    no_auth: bool = False,
    device: str | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page until the process gets SIGINT or SIGTERM; leaves no files behind.

    Args:
        host: the address or name to listen on.
        port: 0 for any that is free.
        token: what visitors must know; None: nobody is asked.
        no_auth: must be True for ``token`` None on an address that others can reach.
        device: as for :func:`artgan.load`.
        ready: called with the page's address when it answers.

    Raises:
        ConfigError: the address or the port cannot be used, or a token is missing.
        ModuleNotFoundError: Gradio is not installed.
        KeyboardInterrupt: the user pressed Ctrl-C.
        SystemExit: the process was asked to end by SIGTERM.
    """
    import uvicorn

    check_access(host, token, no_auth)
    with _ending_at_sigterm(), _listening(host, port) as listener, _only_temporary_folder() as folder:
        from artgan.demo.app import build

        bound = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    ready(f"http://{shown}:{bound}/")

        with build(folder, host=host, port=bound, token=token, device=device) as app:
            config = uvicorn.Config(
                app,
                log_level="error",
                access_log=False,  # addresses may hold the token
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE,
                ws="none",
            )
            Server(config).run(sockets=[listener])


def check_access(host: str, token: str | None, no_auth: bool) -> None:
    """Refuse an address that others can reach without a word on who may use it.

    Raises:
        ConfigError: the token is missing or empty, or contradicts ``no_auth``.
    """
    from artgan.demo.gate import is_loopback

    if token is not None and no_auth:
        raise ConfigError("--token and --no-auth contradict each other")
    if token is not None and not token.strip():
        raise ConfigError("--token: is empty; give a long random text")
    if token is None and not no_auth and not is_loopback(host):
        raise ConfigError(
            f"--host {host}: other computers can reach this address; set a token by --token or ARTGAN_DEMO_TOKEN, or "
            "let anyone use the page by --no-auth"
        )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigError(f"--host {host}: there is no such address ({one_line(error)})") from None
    with socket.socket(family, kind, protocol) as listener:
        if os.name != "nt":  # where it would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1024)
        except OSError as error:
            if port:
                raise ConfigError(
                    f"--port {port}: cannot be used on {host} ({one_line(error)}); give another one, or 0 for any free"
                ) from None
            raise ConfigError(f"--host {host}: cannot be used ({one_line(error)})") from None
        yield listener


@contextmanager
def _only_temporary_folder() -> Iterator[Path]:
    """A temporary folder, in which all that this process uses in the block keeps its temporary files."""
    outside = tempfile.gettempdir()
    remove_unfinished(outside)
    names = ("GRADIO_TEMP_DIR", "TMPDIR", "GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY")
    before = {name: os.environ.get(name) for name in names}
    with temporary_folder(Path(outside)) as name:
        uploads = Path(name).resolve() / "gradio"
        uploads.mkdir()
        os.environ.update(dict(zip(names, (str(uploads), name, "False", "False"), strict=True)))
        tempfile.tempdir = name
        try:
            yield uploads
        finally:
            tempfile.tempdir = None
            for variable, value in before.items():
                os.environ.pop(variable, None)
                if value is not None:
                    os.environ[variable] = value


@contextmanager
def _ending_at_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as an exception does, so that what it made is removed."""
    if threading.current_thread() is not threading.main_thread():  # where Python handles no signals
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
