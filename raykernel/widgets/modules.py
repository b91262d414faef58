"""Joins a view's ES modules into the one text that anywidget wants.

The files beside this one are plain ES modules, and the dashboard serves them as they are. A
widget's `_esm` has no address to import relative files from, so here the modules that an entry
imports, directly or not, are written one after the other, each after those it needs, with the
`import` lines and the word `export` left out. That works because of two habits, which a test
holds: imports stand at the top on one line each, `import { a, b } from "./file.js";`, without
renaming, and no two modules have a top-level name in common.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from .style import LOOKS

FOLDER = Path(__file__).parent

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


@cache
def bundle(entry: str) -> str:
    """The text of a module with all that it imports."""
    parts: list[str] = []
    _collect(entry, set(), parts)
    return "\n".join(parts)


@cache
def styles(*names: str) -> str:
    """The text of the views' style sheets: what all have in common, and these."""
    return coloured("views.css", *names)


@cache
def coloured(*names: str) -> str:
    """The text of some style sheets, behind the colours that all share."""
    states = "".join(f"--rk-{look['state'].lower()}: {look['color']};" for look in LOOKS)
    sheets = ((FOLDER / name).read_text() for name in ("tokens.css", *names))
    return "\n".join((f":is(.raykernel-view, .raykernel-progress) {{{states}}}", *sheets))


def imports(name: str) -> list[str]:
    """The modules that one imports directly."""
    return _IMPORT.findall((FOLDER / name).read_text())


def _collect(name: str, seen: set[str], parts: list[str]) -> None:
    if name in seen:
        return
    seen.add(name)
    for other in imports(name):
        _collect(other, seen, parts)
    text = (FOLDER / name).read_text()
    parts.append(_EXPORT.sub("", _IMPORT.sub("", text)))
