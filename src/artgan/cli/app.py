"""Assembles the commands. Each imports what it needs only when it runs, so that --help stays fast."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from artgan.cli import (
    compare,
    convert,
    data,
    demo,
    distill,
    evaluate,
    export,
    new_plugin,
    paint,
    publish,
    report,
    sample,
    study,
    style,
    train,
    zoo,
)
from artgan.cli.status import interrupted


class _Commands(TyperGroup):
    """All commands. Ctrl-C ends them as documented in main(), whereas typer's own behavior varies by version."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(interrupted()) from None


app = typer.Typer(
    cls=_Commands,
    name="artgan",
    help="Photos to paintings, and the networks that make them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import artgan

        print(artgan.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command("paint", cls=paint.PaintCommand)(paint.paint)
app.command()(compare.compare)
app.add_typer(style.app, name="style")
app.command()(style.styles)
app.command()(sample.sample)
app.command()(demo.demo)
app.command()(evaluate.evaluate)
app.command()(zoo.models)
app.command()(zoo.show)
app.command()(zoo.plugins)
app.command()(zoo.doctor)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.command("distill", cls=distill.DistillCommand)(distill.distill)
app.command()(report.report)
app.command("study", cls=study.StudyCommand)(study.study)
app.command()(convert.convert)
app.command()(export.export)
app.command()(new_plugin.new_plugin)
app.command()(publish.publish)
