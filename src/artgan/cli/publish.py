"""``artgan publish``: upload a model's folder to the Hugging Face Hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model's folder, for example RUN/model.")],
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="The repository; created if necessary.")],
    license: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="The weights' license, for a new model: its name at SPDX or on the Hub, for example cc-by-4.0.",
            show_default=False,
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Upload; without it, only show what would be uploaded.")] = False,
) -> None:
    """Check a model's folder and show what would be uploaded to the Hub; upload it with --push.

    The token comes from HF_TOKEN or from `hf auth login`. After uploading, the lines for registry.yaml are printed.
    """
    from artgan.models.publishing import prepare

    publication = prepare(folder, repo, license=license)
    for line in publication.lines():
        print(line, file=sys.stderr if push else sys.stdout)
    if push:
        print(publication.upload(private=private))
    else:
        print(f"artgan: nothing was uploaded; --push uploads these files to {repo}", file=sys.stderr)
