"""``artgan distill``: train a small generator to imitate a large one."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from artgan.cli import completing
from artgan.cli.options import GeneratedCommand
from artgan.cli.train import training_command


class DistillCommand(GeneratedCommand):
    """``artgan distill``, whose options are generated from its configuration's fields when it is called."""

    def whole(self) -> Any:
        """See the base class."""
        from artgan.training.distillation import plugin

        teacher_argument = typer.Argument(
            metavar="TEACHER", help="The model to learn from.", autocompletion=completing.painters
        )
        kind = Annotated[str | None, teacher_argument]
        teacher = inspect.Parameter("teacher", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        return training_command(plugin, self.name or "distill", help=self.help, arguments=[teacher])


def distill() -> None:
    """Train a small generator to imitate a large one, using photos only.

    The student is a preset of a plugin (by default the teacher's), optionally with changes:
    `--student PRESET,OPTION=VALUE`. It is written to RUN/model: `artgan paint --model local-dir:RUN/model`.
    """
