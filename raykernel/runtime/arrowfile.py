"""Arrow tables as Arrow IPC files.

A table is stored as such a file and not as a pickle: so what lies in shared memory or in a spill
file is what any Arrow reader opens, exporting it is a copy of bytes, and reading it here makes no
copy: columns point into the memory given. Writing makes none either: the writer hands over the
columns' own buffers. pyarrow is imported by who has a table already, or gets one.
"""

from __future__ import annotations

import io
import sys
from typing import Any

MAGIC = b"ARROW1"


def is_table(value: Any) -> bool:
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and type(value) is getattr(pyarrow, "Table", None)


def pieces(table: Any, exact: bool = True) -> list[bytes | memoryview] | None:
    """The file of a table, in pieces; its columns' buffers are not copied. None if a file can't
    hold it or, with `exact`, would not keep all of it: then it has to be pickled."""
    import pyarrow as pa

    extended = any(isinstance(t, pa.BaseExtensionType) for t in table.schema.types)
    if exact and (extended or not table.num_columns):
        return None
    sink = _Sink()
    options = pa.ipc.IpcWriteOptions(unify_dictionaries=not exact)
    try:
        with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), table.schema, options=options) as file:
            file.write_table(table)
    except (pa.ArrowException, NotImplementedError):
        return None
    return sink.take()


def read(data: memoryview) -> Any:
    """The table of a file, without a copy. Raises ValueError if it is none."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.py_buffer(data)).read_all()


class _Sink(io.RawIOBase):
    """Collects what is written: headers, which are joined, and columns."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes | memoryview] = []
        self._small: list[bytes] = []
        self._at = 0

    def write(self, data: Any) -> int:
        self._at += len(data)
        if isinstance(data, bytes):
            self._small.append(data)
        else:
            self._join()
            self._pieces.append(memoryview(data))
        return len(data)

    def _join(self) -> None:
        if self._small:
            self._pieces.append(b"".join(self._small))
            self._small = []

    def tell(self) -> int:
        return self._at

    def writable(self) -> bool:
        return True

    def take(self) -> list[bytes | memoryview]:
        self._join()
        return self._pieces
