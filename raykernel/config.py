"""Every option of the notebook layer. Where one is given more than once, the first of these counts:

    the flag of `%ray start`                 %ray start --no-progress
    `%config` in the notebook                %config RayKernelConfig.progress = False
    the environment                          RAYKERNEL_PROGRESS=0
    IPython's configuration                  c.RayKernelConfig.progress = False
                                             (ipython_config.py, ipython_kernel_config.py)
    the default

A flag counts for the session which that `%ray start` starts; the environment is read when the
extension is loaded. An option is one trait here: its variable, its flag, its line of help and its
row in the README's table follow from that.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.magic_arguments import MagicArgumentParser
from traitlets import Bool, Float, Int, TraitError
from traitlets.config import Config, Configurable

PREFIX = "RAYKERNEL_"


class RayKernelConfig(Configurable):
    num_cpus: Int[int | None, int | None] = Int(
        None, allow_none=True, min=0, help="CPUs of a session that `%ray start` starts"
    ).tag(config=True, metavar="N", flag="-n", unset="all")
    progress: Bool[bool, bool | int] = Bool(
        True, help="show the progress of a cell's tasks under the cell"
    ).tag(config=True)
    progress_delay: Float[float, float | int] = Float(
        0.5, min=0.0, help="seconds of work before its progress is shown"
    ).tag(config=True, metavar="S")
    log_to_cell: Bool[bool, bool | int] = Bool(
        True, help="show what tasks print, in the cell that caused them"
    ).tag(config=True)
    capture_warning: Float[float, float | int] = Float(
        1.0, min=0.0, help="MiB that a submitted function may capture without a warning"
    ).tag(config=True, metavar="MIB")
    capture_limit: Float[float, float | int] = Float(
        100.0, min=0.0, help="MiB that a submitted function may capture at all"
    ).tag(config=True, metavar="MIB")
    session_ttl: Float[float, float | int] = Float(
        600.0, min=0.0, help="seconds a notebook's session goes on after its kernel has ended"
    ).tag(config=True, metavar="S")
    keep_locals: Bool[bool, bool | int] = Bool(
        True, help="keep the variables of failed tasks, for `%debug` and `%ray debug`"
    ).tag(config=True)
    log_fold: Bool[bool, bool | int] = Bool(
        True, help="show a line that tasks repeat once, with how often it came"
    ).tag(config=True)
    log_lines_per_cell: Int[int, int] = Int(
        2000, min=0, help="lines of task output shown in a cell, 0 for all; see `%ray logs`"
    ).tag(config=True, metavar="N")
    log_mib_per_session: Float[float, float | int] = Float(
        16.0, min=0.0, help="MiB of task output shown in a session, 0 for all"
    ).tag(config=True, metavar="MIB")

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """Take what the environment sets. A value that makes no sense is warned of and left out."""
        for name, trait in _options().items():
            text = environment.get(variable(name))
            if text is None:
                continue
            try:
                value = _value(trait, text)
                self.update_config(Config({type(self).__name__: {name: value}}))
            except (TraitError, ValueError):
                warnings.warn(
                    f"{variable(name)}={text!r} is no value for RayKernelConfig.{name} "
                    f"({trait.help}): it is not used",
                    stacklevel=2,
                )

    def over(self, flags: Mapping[str, Any]) -> RayKernelConfig:
        """These options with `flags` in front of them."""
        return RayKernelConfig(**{name: getattr(self, name) for name in _options()} | dict(flags))


def variable(name: str) -> str:
    """The environment variable of an option."""
    return PREFIX + name.upper()


def add_flags(parser: MagicArgumentParser) -> None:
    """Give a magic a flag for each option; those not given are None in its namespace."""
    for name, trait in _options().items():
        about = f"{trait.help} (default: {_default(trait)})".replace(
            "%", "%%"
        )  # argparse formats it
        flags = [f for f in (trait.metadata.get("flag"), _long(name)) if f]
        if isinstance(trait, Bool):
            parser.add_argument(
                *flags, action=argparse.BooleanOptionalAction, default=None, help=about
            )
        else:
            metavar = trait.metadata.get("metavar", "VALUE")
            parser.add_argument(*flags, metavar=metavar, help=about, type=_reader(name, trait))


def take_flags(args: argparse.Namespace) -> dict[str, Any]:
    """Take the options that were given as flags out of a magic's namespace."""
    given = {name: vars(args).pop(name) for name in _options()}
    return {name: value for name, value in given.items() if value is not None}


def table() -> str:
    """The options as the README shows them."""
    rows = [
        f"| `{name}` | `{variable(name)}` | `{_shown_flag(name, trait)}` | {_default(trait)} "
        f"| {trait.help} |"
        for name, trait in _options().items()
    ]
    head = "| option | environment | flag of `%ray start` | default | |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows)


def _options() -> dict[str, Any]:
    # in the order in which they stand above
    traits: dict[str, Any] = RayKernelConfig.class_own_traits(config=True)
    return {name: traits[name] for name in RayKernelConfig.__dict__ if name in traits}


def _long(name: str) -> str:
    return "--" + name.replace("_", "-")


def _shown_flag(name: str, trait: Any) -> str:
    if isinstance(trait, Bool):
        return f"--[no-]{_long(name)[2:]}"
    short = trait.metadata.get("flag")
    return (f"{short}, " if short else "") + f"{_long(name)} {trait.metadata['metavar']}"


def _default(trait: Any) -> str:
    value = trait.default_value
    if value is None:
        return str(trait.metadata.get("unset", "none"))
    if isinstance(trait, Bool):
        return "yes" if value else "no"
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def _value(trait: Any, text: str) -> Any:
    """An option's value from text. Raises TraitError, ValueError."""
    if trait.allow_none and text.lower() in ("", "none"):
        return None
    if isinstance(trait, Bool) and text.lower() in ("yes", "on", "no", "off"):
        return text.lower() in ("yes", "on")
    return trait.from_string(text)


def _reader(name: str, trait: Any) -> Callable[[str], Any]:
    """What a parser makes an option's value with."""

    def read(text: str) -> Any:
        try:
            return getattr(RayKernelConfig(**{name: _value(trait, text)}), name)
        except TraitError as error:
            raise ValueError(text) from error

    # argparse names it in "invalid number value: 'x'"
    read.__name__ = "number" if isinstance(trait, Int | Float) else name
    return read


if __name__ == "__main__":  # what README.md is to show
    print(table())
