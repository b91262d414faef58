"""Where the teaching notebooks are.

They live in the repository's `notebooks/` folder. `raykernel/notebooks` is a link to it, so the
same path holds in a checkout, in an editable install, and in a wheel, which carries the files
themselves. An installed copy may be read-only and shared: copy a notebook before running it.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "notebooks"


def names() -> list[str]:
    """The file names of all lessons, in teaching order."""
    return sorted(found.name for found in FOLDER.glob("*.ipynb"))


def path(name: str) -> Path:
    """The file of one lesson, named with or without `.ipynb`.

    Raises FileNotFoundError, naming the lessons there are.
    """
    file_name = name if name.endswith(".ipynb") else f"{name}.ipynb"
    lessons = names()
    if file_name in lessons:
        return FOLDER / file_name
    if lessons:
        hint = f"the lessons are {', '.join(lessons)}"
    else:
        hint = (
            f"{FOLDER} holds no notebook: reinstall raykernel, or check the repository out again "
            "where symbolic links work"
        )
    raise FileNotFoundError(f"raykernel has no lesson {name!r}; {hint}")
