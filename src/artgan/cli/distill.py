"""``artgan distill``: a small generator taught by a large one."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from artgan.cli.train import training_command


class DistillCommand(TyperCommand):
    """``artgan distill``, whose options are made from its configuration's fields when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As of any command."""
        from artgan.training.distillation import plugin

        kind = Annotated[str | None, typer.Argument(metavar="TEACHER", help="The model to learn from.")]
        teacher = inspect.Parameter("teacher", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        made = training_command(plugin, self.name or "distill", help=self.help, arguments=[teacher])
        return made.make_context(info_name, args, parent, **extra)


def distill() -> None:
    """Teach a small generator to paint as a large one does, on photos alone.

    The student is a preset of a plugin, the teacher's if none is named, with changes if need be: --student
    PRESET,OPTION=VALUE. It ends in RUN/model: artgan paint --model local-dir:RUN/model.
    """
