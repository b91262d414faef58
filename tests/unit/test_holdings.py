"""What is said of who holds an object."""

from __future__ import annotations

from typing import Any

import msgspec

from raykernel.runtime import messages as m

from .kit import Session, ref, sent, value


def memory(session: Session) -> dict[bytes, dict[str, Any]]:
    out = session.driver(m.Query(1, "memory", {}))
    reply = next(x for x in sent(out, session.driver) if isinstance(x, m.Reply))
    assert reply.error == ""
    rows = msgspec.msgpack.decode(reply.data)
    return {bytes.fromhex(row["object_id"]): row for row in rows}


def test_an_object_says_who_holds_it():
    session = Session(workers=1)
    (worker,) = session.workers
    put = value(session.ids.put())
    box = value(session.ids.put(), contained=(put.id,))
    task = session.spec(deps=(put.id,), slots=(0,), cell="cell")
    session.driver(m.PutObject(put), m.PutObject(box), task)
    worker(m.AddRef([put.id]))
    row = memory(session)[put.id]
    assert row["references"] == 4
    assert {(h["role"], h["name"], h["cell"], h["references"]) for h in row["holders"]} == {
        ("driver", "", "", 1), ("worker", "f", "cell", 1), ("task", "f", "cell", 1),
        ("object", "", "", 1),
    }  # fmt: skip


def test_an_object_says_what_made_it_and_where_it_lies():
    session = Session(workers=1)
    task = session.spec(cell="cell")
    put = value(session.ids.put(), data=b"12345")
    session.driver(task, m.PutObject(put))
    rows = memory(session)
    assert (rows[ref(task)]["where"], rows[ref(task)]["made_by"]) == ("pending", "f")
    assert (rows[ref(task)]["task"], rows[ref(task)]["cell"]) == (task.id.hex(), "cell")
    assert (rows[put.id]["where"], rows[put.id]["size"]) == ("inline", 5)


def test_an_actors_process_is_called_an_actor():
    session = Session(workers=1)
    (worker,) = session.workers
    session.live_actor(worker)
    put = value(session.ids.put())
    worker(m.PutObject(put))
    (holder,) = memory(session)[put.id]["holders"]
    assert (holder["role"], holder["name"], holder["pid"]) == ("actor", "A", 4711)
