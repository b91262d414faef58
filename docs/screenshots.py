"""Takes the pictures in this folder anew, at the repository's top: `python -m docs.screenshots`, or
with `views`, `notebook` or `error` behind it some of them.

Each set comes from a small notebook, run in a JupyterLab of its own; everything in the pictures is
real. Needs what the browser tests need: `pip install -e '.[test]'`, and Chromium.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from docs import error_picture, notebook_picture, view_pictures

FOLDER = Path(__file__).parent


def main() -> None:
    sets = {
        "views": lambda: view_pictures.take_all(FOLDER / "views"),
        "notebook": lambda: notebook_picture.take(FOLDER / "notebook.png"),
        "error": lambda: error_picture.take(FOLDER / "error.png"),
    }
    parser = argparse.ArgumentParser(description="Take the documentation's pictures anew.")
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(sets))
    chosen = parser.parse_args().sets or list(sets)
    for name in chosen:
        if name not in sets:
            parser.error(f"there is no set {name!r}; there are {', '.join(sets)}")
    for name in chosen:
        sets[name]()


if __name__ == "__main__":
    main()
