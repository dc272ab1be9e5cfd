"""The ends of a command: its exit statuses, and the error that ends it early."""

import enum


class Exit(enum.IntEnum):
    """The exit statuses. click itself ends with USAGE."""

    FINE = 0
    FAILED = 1  # the command could not do what it was asked, or could not look at everything
    USAGE = 2
    FINDINGS = 3  # --fail-on found something
    INTERRUPTED = 130  # as a shell says of SIGINT


class CommandError(Exception):
    """The command cannot go on. The message is one line in kubectl's form, with the remedy."""
