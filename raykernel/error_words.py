"""How errors are worded: in Ray's words, with cells by the names that people know."""

from __future__ import annotations

import re
from collections.abc import Callable

#: Set by the notebook layer: what people call a file that holds a cell's code ("In[3]"), or None.
cell_file: Callable[[str], str | None] | None = None

SHOWN_MODULE = "ray.exceptions"  # in tracebacks, where programs written for Ray look for it
_PLACE = re.compile(r'File "([^"\n]+)", line (\d+)')


def through(via: tuple[str, ...], kind: str, text: str, pid: int, ip: str) -> str:
    """An error's text, with the names of the tasks that failed because of it, the first below."""
    for name in via:
        text = (
            f"ray::{name}() (pid={pid}, ip={ip})\n  At least one of the input arguments for this "
            f"task could not be computed:\n{SHOWN_MODULE}.{kind}: {text}"
        )
        kind = "RayTaskError"
    return text.rstrip()


def named_cells(text: str) -> str:
    """A traceback's text with the cells' files as people know them: `Cell In[3], line 2`."""
    find = cell_file
    if find is None or 'File "' not in text:
        return text

    def place(found: re.Match[str]) -> str:
        name = find(found[1])
        return found[0] if name is None else f"Cell {name}, line {found[2]}"

    return _PLACE.sub(place, text)


def sentence(text: str) -> str:
    """The text with a capital letter first."""
    return text[:1].upper() + text[1:]
