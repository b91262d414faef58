"""What a command of `%ray` is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from IPython.core.magic_arguments import MagicArgumentParser

if TYPE_CHECKING:
    from raykernel.notebook import Notebook

NO_SESSION = "No session is running. `%ray start` starts one, and so does the first .remote()."


@dataclass(frozen=True, slots=True)
class Command:
    """`run(notebook, args)` prints its answer; what the user did wrong it raises as UsageError.

    `values(notebook)` are the words that completion offers where an argument may stand (modules,
    say), and those of `option_values` what it offers behind an option, by that option's name;
    options it offers by itself.
    """

    parser: MagicArgumentParser
    run: Callable[[Notebook, Any], None]
    values: Callable[[Notebook], Iterable[str]] | None = None
    option_values: Mapping[str, Callable[[Notebook], Iterable[str]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.parser.prog.split()[-1]
