"""``artgan demo``: a local web page that paints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def demo(
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that other computers can reach needs --token or --no-auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free port.")] = 7860,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ARTGAN_DEMO_TOKEN",
            help="Token that visitors must enter; ARTGAN_DEMO_TOKEN is safer, as other users can see the command line.",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Let anyone who can reach the page use it.")] = False,
    open: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the page in a browser. \\[default: if this is a terminal]"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps ... \\[default: cpu]", show_default=False)] = None,
) -> None:
    """Open a web page on this computer that paints photos, until Ctrl-C.

    Photos are dropped on the page, and paintings are downloaded from it; nothing is kept when it ends.
    """
    from artgan.demo.server import serve

    def ready(address: str) -> None:
        print(address, flush=True)
        print("artgan: press Ctrl-C to stop", file=sys.stderr)
        if sys.stdout.isatty() if open is None else open:
            import webbrowser

            webbrowser.open(address)

    try:
        serve(host=host, port=port, token=token, no_auth=no_auth, device=device, ready=ready)
    except KeyboardInterrupt:  # the way to end it
        return
