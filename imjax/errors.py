"""Errors whose message tells the user what to do."""


class UserError(Exception):
    """Wrong input: the commands print its message without a traceback and exit with code 2.

    The message names the file or key, the value, what was expected and what to do.
    """


class TrainingError(Exception):
    """A run that cannot go on (NaN loss, say): printed without a traceback, exit code 1."""


class Stopped(Exception):
    """A stop was asked for (SIGTERM) and everything is saved: exit code 0, the same command goes on."""


class PartialFailure(Exception):
    """Some inputs could not be used and all others are done: printed without a traceback, exit code 1."""
