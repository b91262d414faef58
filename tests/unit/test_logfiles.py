"""Finding what was written in the log files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raykernel.runtime import logfiles
from raykernel.runtime.logfiles import Entry


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Two workers' files; the second has begun to write an entry."""
    (tmp_path / "logs").mkdir()
    wrote(
        tmp_path,
        1,
        "out",
        b"a1\na2\nb1\n",
        [(1.0, 0, 6, "aa", "f", "c1"), (3.0, 6, 9, "bb", "g", "c2")],
    )
    wrote(tmp_path, 2, "out", b"\0\0\0\0x\nd2\n", [(2.0, 0, 9, "dd", "C.add", "c1", "ee")])
    with (tmp_path / "logs" / "worker-2.idx").open("ab") as index:
        index.write(b"[4.0, 'stdo")
    return str(tmp_path)


def wrote(
    folder: Path, pid: int, ending: str, data: bytes, entries: list[tuple[object, ...]]
) -> None:
    (folder / "logs" / f"worker-{pid}.{ending}").write_bytes(data)
    made = [Entry(time, "stdout", *rest) for time, *rest in entries]
    logfiles.append(str(folder / "logs" / f"worker-{pid}.idx"), made)


def texts(folder: str, **filters: object) -> list[str]:
    return [line.text for line in logfiles.find(folder, **filters)]  # type: ignore[arg-type]


def test_lines_come_in_the_order_of_time(folder: str) -> None:
    assert texts(folder) == ["a1", "a2", "x", "d2", "b1"]
    assert texts(folder, tail=2) == ["d2", "b1"]


def test_filters(folder: str) -> None:
    assert texts(folder, task="a") == ["a1", "a2"]
    assert texts(folder, name="g") == ["b1"]
    assert texts(folder, name="C") == ["x", "d2"]
    assert texts(folder, actors=["ee"]) == ["x", "d2"]
    assert texts(folder, cell="c1", grep="2$") == ["a2", "d2"]
    assert texts(folder, task="nothing") == []
    with pytest.raises(re.error):
        texts(folder, grep="(")


def test_an_index_that_has_grown_keeps_its_newest(tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    entries = [Entry(float(i), "stdout", i, i + 1, "t" * 40) for i in range(10_000)]
    for _ in range(8):
        logfiles.append(index, entries)
    data = Path(index).read_bytes()
    assert len(data) <= 2 * logfiles._INDEX_KEPT + 10_000 * 100
    assert data.splitlines()[-1].startswith(b"[9999.0,")
    assert data.startswith(b"[")


def test_last_words_are_what_was_not_told(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    wrote(tmp_path, 1, "out", b"told\nnot told\n", [])
    ours = f'  File "{logfiles.__file__}", line 1 in f\n'.encode()
    wrote(tmp_path, 1, "err", b"Fatal\n" + ours + b'  File "user.py", line 2 in g\n', [])
    words = logfiles.last_words(str(tmp_path), 1, {"stdout": 5, "stderr": 0}, None)
    assert words == {"stdout": "not told\n", "stderr": 'Fatal\n  File "user.py", line 2 in g\n'}
    assert logfiles.last_words(str(tmp_path), 9, {}, None) == {}
