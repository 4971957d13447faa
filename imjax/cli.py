"""The console script, and what every command shares: flags in, clear errors out.

  imjax train --config=suim_aim_pp:small --config.data.dir=SUIM --workdir=runs/suim_aim_pp
  imjax --help

Exit codes: 0 done (or stopped on request, to be resumed), 2 something the user can fix, 1 anything else, of
which inputs that were left out; 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from imjax.config import keys, named, protocols
from imjax.errors import ErrorCode, PartialFailure, Stopped, TrainingError, UserError

# `--config`, declared here for several commands, is listed by --help of the one that runs.
flags.disclaim_key_flags()


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of the console script."""

    module: str
    """Has `define_flags` and `main`; `python -m` runs it as well."""
    summary: str
    positional: bool = False
    """Whether it takes arguments that are no flags; others are refused, since they are typing mistakes."""
    computes: bool = False
    """Whether nets are run, for which malloc is set up first."""


COMMANDS = {
    "train": Command("imjax.main", "a whole run: data, every stage, table and report", computes=True),
    "prepare": Command("imjax.prepare", "check and pack a dataset beforehand"),
    "check": Command("imjax.prepare", "imjax check DIR: what is wrong with a folder of your own images"),
    "predict": Command("imjax.predict", "masks for new images from a run's nets; export", computes=True),
    "suggest": Command(
        "imjax.suggest_images", "which images to mask next, and their masks to correct", computes=True
    ),
    "convert": Command("imjax.convert", "annotations of label tools to masks, and back", positional=True),
    "report": Command("imjax.report.__main__", "one page on one or several runs", positional=True),
    "app": Command("imjax.app.__main__", "a web page: paint masks, train, compare runs", positional=True),
    "sweep": Command("launch.sweep", "many runs, on this machine or on a cluster", positional=True),
    "keys": Command("imjax.config.keys", "every key of the configuration: type, default, meaning"),
}


OWN_FOLDER = "folder:small"
"""The configuration of `imjax train --data=DIR`."""


def main() -> None:
    """Run the command that the first argument names; exits with one of the codes above."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h", "-help", "help"):
        print(usage())
        sys.exit(0)
    if name == "--version":
        from imjax import __version__

        print(f"imjax {__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=2) or list(COMMANDS)
        sys.exit(_complain(f"no command {name!r}: did you mean {' or '.join(close)}? See imjax --help", 2))
    if name == "keys":
        sys.exit(guarded(print_keys, arguments, positional=True))
    command = COMMANDS[name]
    if command.computes:
        # First: it starts the process anew, with the arguments as they still are.
        from imjax.training.devices import keep_memory

        keep_memory()
    if name == "check":
        arguments = check_arguments(arguments)
    if name == "train":
        arguments = train_arguments(arguments)
    sys.argv[:] = [f"imjax {name}", *arguments]
    module = importlib.import_module(command.module)
    # absl's --help shows the docstring of `__main__`, and the flags of the module that argv[0] names.
    sys.modules["__main__"].__doc__ = module.__doc__
    before = set(flags.FLAGS)
    module.define_flags()
    for flag in set(flags.FLAGS) - before:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
    run(module.main, command.positional)


def usage() -> str:
    """What `imjax --help` prints."""
    lines = [f"  {name:9}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "imjax COMMAND [--flag=value …]; imjax COMMAND --help lists the flags",
            "",
            *lines,
            "",
            "First: imjax train --config=demo:tiny --workdir=runs/demo",
            "Your own images: imjax check DIR, then imjax train --data=DIR --workdir=runs/mine",
        ]
    )


def print_keys(arguments: list[str]) -> None:
    """`imjax keys [WORD]`: every key, or those with the word in their name or meaning."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        raise UserError(
            "imjax keys: expected no flags and at most one word to look for",
            code=ErrorCode.MALFORMED,
            field="imjax keys",
        )
    text = keys.describe(*arguments)
    if not text:
        word = arguments[0]
        raise UserError(
            f"imjax keys: no key has {word!r} in its name or meaning{keys.suggest(word)}",
            code=ErrorCode.UNKNOWN,
            field=word,
        )
    print(text)


def check_arguments(arguments: list[str]) -> list[str]:
    """`imjax check DIR …` as flags of `imjax.prepare`, at the size of `imjax train --data=DIR`."""
    folder = [f"--raw={arguments[0]}"] if arguments and not arguments[0].startswith("-") else []
    data = named.get_config(OWN_FOLDER).data
    size = f"--size={data.height},{data.width}"
    return ["--dataset=folder", "--check", size, *folder, *arguments[len(folder) :]]


def train_arguments(arguments: list[str]) -> list[str]:
    """`--data=DIR` and `--from=RUN` as what they stand for; without a folder they stay, for an error."""
    return _expand_data(_expand_from(arguments))


def _expand_from(arguments: list[str]) -> list[str]:
    """`--from=RUN`: the run's nets to start from, and its val and test images."""
    if not (found := _take_flag("from", arguments)):
        return arguments
    before, run, rest = found
    # Behind --data and --config, which come before their keys.
    return [*before, *rest, f"--config.model.weights={run}", f"--config.data.keep_split={run}"]


def _expand_data(arguments: list[str]) -> list[str]:
    if not (found := _take_flag("data", arguments)):
        return arguments
    before, folder, rest = found
    has_config = any(re.match(r"--?config(=|$)", argument) for argument in arguments)
    config = [] if has_config else [f"--config={OWN_FOLDER}"]
    # The configuration comes before its keys.
    return [*config, *before, f"--config.data.dir={folder}", *rest]


def _take_flag(name: str, arguments: list[str]) -> tuple[list[str], str, list[str]] | None:
    """What stands before `--name=VALUE` or `--name VALUE`, the value, and what follows; None without one."""
    for i, argument in enumerate(arguments):
        match = re.fullmatch(rf"--?{name}(?:=(.*))?", argument)
        if not match:
            continue
        is_apart = match[1] is None
        value = arguments[i + 1] if is_apart and i + 1 < len(arguments) else match[1] or ""
        if value.strip():
            return arguments[:i], value, arguments[i + 1 + is_apart :]
    return None


def define_config(**options: Any) -> None:
    """Declare `--config`: a file, or the name of one of the package's configurations.

    Args:
        options: of `config_flags.DEFINE_config_file`: `flag_values`, `sys_argv`.
    """
    text = "Configuration: a name (suim_aim_pp:small, demo:tiny) or a file (configs/suim_aim_pp.py:small)."
    config_flags.DEFINE_config_file("config", None, text, **options)
    flag = options.get("flag_values", flags.FLAGS)["config"]
    flag.parser = _ConfigParser(flag.parser)


class _ConfigParser(flags.ArgumentParser):
    """Turns names into files, and leaves the files to ml_collections."""

    def __init__(self, files: flags.ArgumentParser):
        self._files = files

    def parse(self, argument: str) -> Any:
        """`NAME[:preset]` or `PATH[:preset]` → configuration; UserError if there is no such thing."""
        path = argument.partition(":")[0]
        if is_name(path):
            return self._files.parse(f"{named.__file__}:{argument}")
        if not Path(path).is_file():
            close = difflib.get_close_matches(Path(path).stem, protocols.list_names(), n=3)
            hint = (
                f"did you mean {' or '.join(close)}?"
                if close
                else "expected a file, or a name as of configs/"
            )
            raise UserError(
                f"--config={argument}: no such file; {hint}", code=ErrorCode.MISSING, field="--config"
            )
        return self._files.parse(argument)

    def flag_type(self) -> str:
        """For --help."""
        return "configuration"


def is_name(path: str) -> bool:
    """Whether a value of `--config`, without its preset, is a name and not a file."""
    return not path.endswith(".py") and not re.search(r"[/\\]", path)


def name_flags(text: str) -> str:
    """A line that says how keys of `data` that `text` names are set; empty if it names none.

    Messages name the keys of the configuration; commands that read a folder have flags for some of them.
    """
    named = sorted(set(re.findall(r"(?<!config\.)\bdata\.(\w+)(?==)", text)))
    here, there = (" ".join(f"--{before}{key}=…" for key in named) for before in ("", "config.data."))
    return f"set what is named data.…: {here} in this command, {there} in training" if named else ""


def run(main: Callable[[list[str]], None], positional: bool = False) -> None:
    """Parse the flags, run `main(positional arguments)` and exit with the code above.

    Args:
        main: what the command does; raises the errors of `imjax.errors`.
        positional: whether it takes arguments that are no flags; else they are refused, since they are
            typing mistakes.
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
    except BrokenPipeError:
        # The reader of the output, `head` say, has what it wants. What is left would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _complain("stopped; give the same command again to go on", 130)
    except Exception as error:
        return _complain(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except SystemExit:
        # absl's --help, which ends with 1.
        sys.exit(0)
    except UserError as error:
        sys.exit(_complain(error, 2))
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        if "--debug" in argv:
            raise
        sys.exit(_complain(f"{flag_error(error, argv)}; see --help", 2))


def flag_error(error: Exception, argv: list[str]) -> UserError:
    """An error of the flags as the one line of it that says what is wrong.

    Args:
        error: what absl or ml_collections raised.
        argv: the command line, in which a misspelled key of the configuration is looked for.
    """
    for argument in argv:
        match = re.match(r"--?(?:no)?config\.([\w.]+)", argument)
        if match and isinstance(error, AttributeError | KeyError | flags.UnrecognizedFlagError):
            with contextlib.suppress(KeyError):
                keys.find(match[1])
                continue
            message = f"config key {match[1]!r} is unknown{keys.suggest(match[1])}"
            return UserError(message, code=ErrorCode.UNKNOWN, field=match[1])
    lines = [
        line.strip() for line in str(error.args[0] if error.args else error).splitlines() if line.strip()
    ]
    if any(line.startswith("Traceback") for line in lines):
        # A configuration file raised: ml_collections hands its whole traceback over as text.
        message = f"{lines[0].split(': ')[0]}: {lines[-1].split(': ', 1)[-1]}"
    else:
        message = lines[0] if lines else type(error).__name__
    named = re.search(r"--(config\.)?([\w.]+)", message)
    field = named[0].removeprefix("--config.") if named else ""
    return UserError(message, code=ErrorCode.MALFORMED, field=field)


def _complain(message: object, code: int) -> int:
    if "--debug" in sys.argv and sys.exc_info()[0]:
        traceback.print_exc()
    print(f"imjax: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
