"""What the commands of the command line do, a module each; `raykernel.cli` declares their options.

A command's answer goes to stdout, everything said on the way to stderr.
"""

from __future__ import annotations

__all__ = ["CommandError"]


class CommandError(Exception):
    """A command can't do what was asked. The text says why and what to do, for whoever asked."""
