"""Lessons are found by name, wherever the package is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raykernel import lessons


@pytest.fixture
def two_lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("02_second.ipynb", "01_first.ipynb", "notes.txt"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr(lessons, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("two_lessons")
def test_names_are_in_teaching_order() -> None:
    assert lessons.names() == ["01_first.ipynb", "02_second.ipynb"]


def test_path_takes_the_name_with_or_without_suffix(two_lessons: Path) -> None:
    assert lessons.path("01_first") == two_lessons / "01_first.ipynb"
    assert lessons.path("01_first.ipynb") == two_lessons / "01_first.ipynb"


@pytest.mark.parametrize("name", ["03_third", "notes.txt", "", "../two/01_first", "/etc/passwd"])
@pytest.mark.usefixtures("two_lessons")
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"no lesson .*01_first\.ipynb, 02_second\.ipynb"):
        lessons.path(name)


def test_an_empty_folder_says_how_to_mend_the_install(
    two_lessons: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons, "FOLDER", two_lessons / "absent")
    with pytest.raises(FileNotFoundError, match="reinstall raykernel"):
        lessons.path("01_first")


def test_every_lesson_of_the_package_is_a_notebook_with_python_cells() -> None:
    assert "05_house_prices.ipynb" in lessons.names()
    for name in lessons.names():
        notebook = json.loads(lessons.path(name).read_text(encoding="utf-8"))
        assert notebook["nbformat"] == 4
        assert any(cell["cell_type"] == "code" for cell in notebook["cells"])
