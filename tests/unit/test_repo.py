"""The tree hangs together: what is built into a wheel, and what the documents point to."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it along

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "raykernel"
PASSING = {"__pycache__", ".ipynb_checkpoints"}


def test_the_links_lead_where_readers_expect() -> None:
    assert (ROOT / "runtime").resolve() == PACKAGE / "runtime"
    assert (ROOT / "widgets").resolve() == PACKAGE / "widgets"
    assert (PACKAGE / "notebooks").resolve() == ROOT / "notebooks"


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {module.parent for module in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_data_file_of_the_package_goes_into_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["raykernel"]
    files = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".py" and not PASSING & set(path.parts)
    ]
    assert "py.typed" in files
    assert [
        name for name in files if not any(fnmatchcase(name, pattern) for pattern in patterns)
    ] == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_document_points_to_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []
