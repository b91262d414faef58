"""The views' ES modules: joined into one text for anywidget, served as they are to a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raykernel.widgets import modules

ENTRIES = [
    path.name
    for path in sorted(modules.FOLDER.glob("*.js"))
    if "export default widget(" in path.read_text()
]
_CODE = re.compile(r"^(?:export )?(?:async )?(?:function|class) (\w+)", re.MULTILINE)
_VALUES = re.compile(r"^(?:export )?(?:const|let) ([^;(]*)", re.MULTILINE)


def top_level(text: str) -> list[str]:
    """The names a module declares at its top level."""
    values = [name for line in _VALUES.findall(text) for name in re.findall(r"\b(\w+) =", line)]
    return [*_CODE.findall(text), *values]


def test_there_are_entries() -> None:
    assert {"graph.js", "timeline.js", "cluster.js"} <= set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_bundle_needs_nothing_and_no_two_modules_share_a_name(entry: str) -> None:
    text = modules.bundle(entry)
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert text.count("\nexport ") == 1
    names = [name for name in top_level(text) if name]
    assert len(names) > 20
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", sorted(modules.FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_what_is_imported_is_there(path: Path) -> None:
    for names, home in re.findall(
        r'^import \{([^}]*)\} from "\./(\w+\.js)";', path.read_text(), re.MULTILINE
    ):
        exported = "\n".join(
            line
            for line in (modules.FOLDER / home).read_text().splitlines()
            if line.startswith("export ")
        )
        wanted = {name.strip() for name in names.split(",") if name.strip()}
        assert wanted <= set(top_level(exported)), home


@pytest.mark.parametrize("path", sorted(modules.FOLDER.glob("*.css")), ids=lambda path: path.name)
def test_colours_of_a_page_that_may_not_be_there_have_a_fallback(path: Path) -> None:
    """VS Code and Colab have no Jupyter variables, Jupyter none of VS Code's."""
    assert not re.findall(r"var\(--(?:jp|vscode)-[\w-]+\)", path.read_text())


def test_every_style_sheet_shares_the_tokens() -> None:
    for text in (modules.styles("cluster.css", "panels.css"), modules.coloured("progress.css")):
        assert "--rk-failed: #d55e00" in text
        used = set(re.findall(r"var\((--rk-[\w-]+)\)", text))
        assert used <= set(re.findall(r"(--rk-[\w-]+):", text))
