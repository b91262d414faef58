"""A stored value as a file of its own, for programs that know nothing of raykernel."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import cloudpickle

import raykernel as ray
from raykernel import api
from raykernel.raised import from_record
from raykernel.refs import ObjectRef
from raykernel.runtime.arrowfile import pieces
from raykernel.runtime.serialize import ARROW_MAGIC, Buffer, deserialize

_PICKLES = (".pkl", ".pickle")


def export(ref: ObjectRef[Any], path: str | os.PathLike[str]) -> None:
    """Write the value of `ref` to `path`, in one step: a reader finds all of it or none.

    An Arrow table, record batch, array or pandas DataFrame becomes an Arrow IPC file, which any
    Arrow reader opens and can map; a table lies in memory as such a file, so that this is a copy of
    its bytes. A path that ends in .pkl or .pickle gets a pickle of whatever it is. Blocks until the
    value is there; raises its task's error, TypeError for what is no Arrow data, OSError.
    """
    if not isinstance(ref, ObjectRef):
        raise TypeError(f"export takes an ObjectRef, not {type(ref).__name__}: `put` the value")
    target = os.fspath(path)
    if target.endswith(_PICKLES):
        chunks: Sequence[Buffer] = [_pickled(ray.get(ref))]
    else:
        raw = _raw(ref)
        if bytes(memoryview(raw)[: len(ARROW_MAGIC)]) == ARROW_MAGIC:
            chunks = [raw]
        else:
            chunks = _file(deserialize(raw), target)
    _write(chunks, target)


def _raw(ref: ObjectRef[Any]) -> Buffer:
    """The value's bytes as they are stored."""
    client = api.connected().client
    (value,) = client.get([api.counted(client, ref)._id], None)
    if value.error:
        raise from_record(value.data) from None
    raw: Buffer = client.raw(value)
    return raw


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, 5)
    except Exception:
        return bytes(cloudpickle.dumps(value, 5))


def _file(value: Any, path: str) -> Sequence[Buffer]:
    """The Arrow IPC file of something that isn't stored as one."""
    table = _table(value)
    chunks = pieces(table, exact=False) if table is not None else None
    if chunks is None:
        raise TypeError(
            f"can't export a {type(value).__module__}.{type(value).__qualname__} to {path}: an "
            "Arrow file holds a table, record batch, array or DataFrame. A path that ends in .pkl "
            "gets a pickle."
        )
    return chunks


def _table(value: Any) -> Any:
    """A table of the same data, without a copy where that is possible; None if it is no such."""
    pandas = sys.modules.get("pandas")
    pa = sys.modules.get("pyarrow")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        import pyarrow

        return pyarrow.Table.from_pandas(value)
    if pa is None:
        return None
    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return pa.table({"values": value})
    return None


def _write(chunks: Sequence[Buffer], target: str) -> None:
    folder = os.path.dirname(os.path.abspath(target))
    fd, new = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(new, 0o666 & ~mask)
        os.replace(new, target)
    except BaseException:
        os.unlink(new)
        raise
