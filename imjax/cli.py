"""What every command shares: flags in, clear errors out.

Exit codes: 0 done (or stopped on request, to be resumed), 2 something the user can mend, 1 anything else, of
which inputs that were left out.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from absl import app, flags

from imjax.errors import PartialFailure, Stopped, TrainingError, UserError


def run(main: Callable[[list[str]], None], positional: bool = False) -> None:
    """Parse the flags, run `main(positional arguments)` and exit with the code above.

    Args:
        main: what the command does; raises the errors of `imjax.errors`.
        positional: whether it takes arguments that are no flags; others are refused, since they are slips.
    """
    # module_name: so that --help of every command lists it.
    text = "Show the traceback of an error instead of its one line."
    flags.DEFINE_bool("debug", False, text, module_name=sys.argv[0])
    app.run(lambda argv: sys.exit(guarded(main, argv[1:], positional)), flags_parser=_parse)


def guarded(main: Callable[[list[str]], None], arguments: list[str], positional: bool = False) -> int:
    """Run `main` and turn its errors into lines on stderr; returns the exit code."""
    if arguments and not positional:
        return _complain(f"unexpected argument {arguments[0]!r}: flags start with --, see --help", 2)
    try:
        main(arguments)
        return 0
    except Stopped as stop:
        return _complain(f"stopped: {stop}; give the same command again to go on", 0)
    except UserError as error:
        return _complain(error, 2)
    except (TrainingError, PartialFailure) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("stopped; give the same command again to go on", 130)
    except Exception as error:
        return _complain(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        if "--debug" in argv:
            raise
        sys.exit(_complain(_reason(error) + "; see --help", 2))


def _reason(error: Exception) -> str:
    """The one line of a flag error that says what is wrong."""
    lines = [
        line.strip() for line in str(error.args[0] if error.args else error).splitlines() if line.strip()
    ]
    if isinstance(error, KeyError):
        return "unknown key in a --config.… flag: " + " ".join(lines)
    if any(line.startswith("Traceback") for line in lines):
        # A configuration file raised: ml_collections hands its whole traceback over as text.
        return f"{lines[0].split(': ')[0]}: {lines[-1].split(': ', 1)[-1]}"
    return lines[0]


def _complain(message: object, code: int) -> int:
    if "--debug" in sys.argv and sys.exc_info()[0]:
        traceback.print_exc()
    print(f"imjax: {message}", file=sys.stderr)
    return code
