"""``artgan new-plugin``: write a working plugin as a starting point."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def new_plugin(
    name: Annotated[str, typer.Argument(help="The plugin's name, for example pointillism.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A new folder. [default: artgan-NAME]", show_default=False),
    ] = None,
) -> None:
    """Write a working plugin as a starting point: small networks that learn to paint, with tests."""
    from artgan.testing.scaffold import write_plugin

    folder = write_plugin(name, out)
    print(folder)
    typer.echo(
        f"""
What next:
  cd {shlex.quote(str(folder))}
  pip install -e ".[test]"
  pytest
  artgan train {name} --photos PHOTOS --paintings PAINTINGS -o RUN
  artgan paint photo.jpg --model local-dir:RUN/model
README.md describes each file.""",
        err=True,
    )
