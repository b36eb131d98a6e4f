"""The command line: one file a group of commands, with no logic of its own."""

from __future__ import annotations

import io
import sys

from artgan.deprecation import tell_on_standard_error
from artgan.errors import ArtganError, printable


def main() -> None:
    """The program ``artgan``.

    Exit status: 0 all done, 1 some inputs failed, 2 the call itself was wrong, 130 interrupted by Ctrl-C.
    """
    tell_on_standard_error()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that it cannot show is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from artgan.cli.app import app

        app()
    except ArtganError as error:
        print(f"artgan: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # while the commands are being imported
        sys.exit(interrupted())
    except BrokenPipeError:  # whoever read our output (head, say) has had enough
        sys.stderr.close()
        sys.exit(141)


def interrupted() -> int:
    """Say that Ctrl-C was pressed; returns the exit status."""
    print("artgan: interrupted", file=sys.stderr)
    return 130
