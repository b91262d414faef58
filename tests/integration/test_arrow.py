"""Arrow tables: read by every process and by any Arrow reader, without a conversion."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pytest

from raykernel import api
from tests.integration.test_memory import mapping, store


def table(rows: int = 100_000) -> Any:
    return pa.table(
        {
            "n": np.arange(rows),
            "x": pa.array(np.linspace(0, 1, rows), mask=np.arange(rows) % 7 == 0),
            "s": pa.array([f"word {i % 50}" for i in range(rows)]).dictionary_encode(),
        },
        metadata={"made": "here"},
    )


def in_arena(table: Any) -> bool:
    """Whether every buffer of a table lies in this process's mapping of the arena."""
    ranges = mapping(api.engine().client.welcome.arena)  # type: ignore[union-attr]
    buffers = [b for c in table.columns for k in c.chunks for b in k.buffers() if b is not None]
    return all(any(low <= b.address < high for low, high in ranges) for b in buffers)


def test_a_table_is_read_in_place_by_this_process_and_others(shared_session: ModuleType) -> None:
    ray = shared_session

    @ray.remote
    def look(table: Any) -> Any:
        from tests.integration.test_arrow import in_arena

        return in_arena(table), table.num_rows

    made = table()
    ref = ray.put(made)
    found = ray.get(ref)
    assert found.equals(made)
    assert found.schema.metadata == made.schema.metadata
    assert in_arena(found)
    assert ray.get(look.remote(ref)) == (True, 100_000)
    assert in_arena(ray.get(ray.put({"in": [made]}))["in"][0])


def test_an_exported_table_is_the_stored_bytes(shared_session: ModuleType, tmp_path: Path) -> None:
    ray = shared_session
    made = table()
    ref = ray.put(made)
    ray.util.export(ref, tmp_path / "table.arrow")
    with pa.memory_map(str(tmp_path / "table.arrow")) as source:
        assert pa.ipc.open_file(source).read_all().equals(made)
    assert pandas.read_feather(tmp_path / "table.arrow").n.sum() == 99_999 * 50_000
    sizes = {o["object_id"]: o["size"] for o in api.engine().query("objects")}  # type: ignore[union-attr]
    assert (tmp_path / "table.arrow").stat().st_size == sizes[ref.hex()]
    assert [f.name for f in tmp_path.iterdir()] == ["table.arrow"]


@pytest.mark.parametrize(
    "value",
    [
        pa.record_batch({"a": [1, 2]}),
        pa.array([1, 2, 3]),
        pa.chunked_array([[1], [2, 3]]),
        pandas.DataFrame({"a": [1.5, 2.5]}),
        table(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_arrow_data_is_exported_too(
    shared_session: ModuleType, tmp_path: Path, value: Any
) -> None:
    shared_session.util.export(shared_session.put(value), tmp_path / "file")
    assert pa.ipc.open_file(str(tmp_path / "file")).read_all().num_rows == len(value)


def test_what_is_no_table_is_exported_as_a_pickle(
    shared_session: ModuleType, tmp_path: Path
) -> None:
    ray = shared_session
    ref = ray.put({"a": np.arange(100_000)})
    with pytest.raises(TypeError, match=r"builtins.dict .*\.pkl"):
        ray.util.export(ref, tmp_path / "file.arrow")
    with pytest.raises(TypeError, match="ObjectRef, not dict"):
        ray.util.export({}, tmp_path / "file.arrow")
    assert list(tmp_path.iterdir()) == []
    ray.util.export(ref, tmp_path / "file.pkl")
    assert pickle.loads((tmp_path / "file.pkl").read_bytes())["a"].sum() == 99_999 * 50_000


def test_tables_that_a_file_would_change_are_pickled(shared_session: ModuleType) -> None:
    ray = shared_session
    chunks = pa.chunked_array(
        [pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]
    )
    for value in (pa.table({"d": chunks}), pa.table({}), table()[5:10], table(0)):
        assert ray.get(ray.put(value)).equals(value)
    assert store()["capacity"] > 0
