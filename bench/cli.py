"""The command line: parse, dispatch, and turn whatever goes wrong into one line.

Nothing slow is imported here: ``moeplace --help`` answers before NumPy would have been loaded. A
command's module is imported when the command is run.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from bench.arguments import make_parser
from bench.commands.output import complain
from instances.errors import InputError

INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE
"""What shells report for a program that the signal has ended."""

SANDBOXED = ("solve", "bound", "plan", "run")
"""Commands that run methods."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: fine. 1: it ran, but there is no usable answer. 2: bad input, told in one line. 130:
    interrupted.
    """
    arguments = make_parser().parse_args(argv)
    arguments.words = tuple(sys.argv[1:] if argv is None else argv)
    try:
        if arguments.module in SANDBOXED:
            from bench.server import start_server

            start_server()  # it warms up while the command's own modules are loaded
        module = importlib.import_module(f"bench.commands.{arguments.module}")
        code = int(module.execute(arguments))
        sys.stdout.flush()
    except InputError as error:
        return complain(str(error), 2)
    except KeyboardInterrupt as interrupt:
        return complain(str(interrupt) or "interrupted", INTERRUPTED, label="")
    except BrokenPipeError:
        # Python flushes stdout once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return complain(f"{place}{error.strerror or error}", 2)
    return code


if __name__ == "__main__":
    sys.exit(main())
