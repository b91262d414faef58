"""What always holds between two events of the scheduler. For tests: `validate` after each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from . import resources
from .capping import kind_of
from .groups import GroupState
from .messages import CALL, INLINE, ON_DISK
from .records import LIVE_STATES, TaskState
from .store import file_of

if TYPE_CHECKING:
    from .scheduler import Scheduler


def validate(core: Scheduler) -> None:
    """Raises AssertionError, saying what is wrong."""
    _resources(core)
    _tasks(core)
    _workers(core)
    _memory(core)
    _lineage(core)


def _resources(core: Scheduler) -> None:
    """What is free is what nobody holds, card by card."""
    pool = core.pool
    held: Counter[str] = Counter(dict.fromkeys(pool.total, 0))
    cards: Counter[int] = Counter()
    for worker in core.dispatcher.workers.values():
        if worker.lease is None or worker.lease.pool is not pool:
            continue
        for name, n in resources.decode(worker.lease.held).items():
            if not (worker.blocked and name == "CPU"):
                held[name] += n
        if worker.gpus:
            units = core.dispatcher.shapes[worker.lease.shape].gpus
            cards.update(dict.fromkeys(worker.gpus, min(units, resources.UNIT)))
    for group in core.dispatcher.groups.groups.values():
        if group.state is GroupState.CREATED:
            held.update(group.needs)
        for chosen, units in group.cards:
            cards.update(dict.fromkeys(chosen, min(units, resources.UNIT)))
    for name, n in pool.total.items():
        assert pool.free[name] == n - held[name], f"{name}: accounts don't add up"
        assert name == "CPU" or pool.free[name] >= 0, f"{name}: over-committed"
    for card, free in pool.cards.items():
        assert free + cards[card] == resources.UNIT, f"GPU {card}: accounts don't add up"


def _tasks(core: Scheduler) -> None:
    """A task is where its state says, and in one place only."""
    queued = Counter(t.spec.id for s in core.dispatcher.shapes.values() for t in s.tasks())
    for task in core.tasks.values():
        name = task.spec.name
        assert task.state in LIVE_STATES, f"{name} is over, but listed as live"
        if task.state is TaskState.RUNNING:
            assert task.worker is not None
            assert task.spec.id in task.worker.inflight, f"{name} runs nowhere"
        elif task.state is TaskState.READY and task.spec.kind != CALL:
            assert queued[task.spec.id] == 1, f"{name} is queued {queued[task.spec.id]} times"
    for worker in core.dispatcher.workers.values():
        for task_id, task in worker.inflight.items():
            name = task.spec.name
            assert task.state is TaskState.RUNNING, f"{name} is with a worker, but {task.state!r}"
            assert task.worker is worker, f"{name} is with two workers"
            assert core.tasks.get(task_id) is task, f"{name} is with a worker, but over"


def _workers(core: Scheduler) -> None:
    """Who idles can be given work, and is given what fits."""
    for idle in core.dispatcher.idle.values():
        for worker in idle:
            assert worker.connected, "a worker idles that isn't there"
            assert not worker.retire, "a worker idles that is about to leave"
            assert not worker.inflight, "a worker idles that has a task"
            assert worker.lease is None, "a worker idles that holds resources"
    for shape in core.dispatcher.shapes.values():
        if not core.dispatcher.idle.get(shape.env) or core.dispatcher.pool_for(shape) is None:
            continue
        assert not any(t.state is TaskState.READY for t in shape.queue), "a fitting worker idles"
        waiting = {kind_of(w.first) for w in shape.leases if w.blocked and w.first is not None}
        for kind, parked in shape.cap.parked.items():
            ready = any(t.state is TaskState.READY for t in parked.tasks)
            assert kind in waiting or not ready, "tasks are held back though none of them waits"


def _memory(core: Scheduler) -> None:
    """Objects are kept by somebody; a block is one's only, and pinned as often as it was handed
    out; who waits for memory can't be served, and what could be moved for it is."""
    store = core.store
    blocks = store.blocks.blocks
    pins: Counter[int] = Counter()
    writing: Counter[int] = Counter()
    for client in core.clients.values():
        pins.update(client.pins)
        writing.update(client.blocks)
    owners: dict[int, bytes] = {}
    files = set()
    for object_id, entry in store.objects.items():
        name = object_id.hex()
        assert entry.count > 0, f"object {name} is kept by nobody"
        value = entry.value
        if value is not None and value.offset >= 0:
            assert value.offset not in owners, f"two objects lie at {value.offset}"
            owners[value.offset] = object_id
        elif value is not None and value.offset == ON_DISK:
            files.add(file_of(value))
    assert files == set(store.disk), "files don't add up"
    assert sum(store.disk.values()) == store.on_disk, "bytes on disk don't add up"
    for offset, block in blocks.items():
        assert block.pins == pins[offset], f"block {offset}: pins don't add up"
        assert block.owner == owners.get(offset, b""), f"block {offset} isn't its owner's"
        assert (block.owner != b"") == (offset in store.blocks.recent), f"block {offset} is astray"
        used = block.pins or block.owner or block.moving or writing[offset]
        assert used, f"block {offset} is taken by nobody"
    assert not set(pins) - set(blocks), "a block is looked at that is free"
    assert sum(b.size for b in blocks.values()) == store.blocks.allocator.used
    assert {b.moving for b in blocks.values() if b.moving} == set(core.room.moving)
    if core.room.waiting and core.room.enabled and not core.room.troubled:
        movable = [b for b in store.blocks.recent.values() if not b.pins and not b.moving]
        assert core.room.moving or not movable, "memory could be made free, and nobody does it"


def _lineage(core: Scheduler) -> None:
    """Each record is kept for a reason, and knows how many there are."""
    records = core.lineage.records
    children: Counter[bytes] = Counter()
    for record in records.values():
        children.update(record.parents)
    for task_id, record in records.items():
        alive = [
            e for i, e in core.store.objects.items()
            if i[:24] == task_id and (e.value is None or e.value.offset != INLINE)
        ]  # fmt: skip
        assert record.children == children[task_id], "children of a record don't add up"
        assert alive or record.children or record.running, "a record is kept for nothing"
    assert sum(r.cost for r in records.values()) == core.lineage.cost
