"""A head on another machine, on this one: over a line that is slow, breaks, stalls, or is none."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

import raykernel
from raykernel import cli
from raykernel.runtime import context, remains
from raykernel.runtime import messages as m
from raykernel.runtime.attach import Build
from raykernel.runtime.remote import address as addresses
from raykernel.runtime.remote import packets, stream
from raykernel.runtime.wire import encode
from tests.integration import far_api
from tests.integration.far import QUICK, driver, running_head, through, tunnel


@pytest.fixture(scope="module")
def head(
    tmp_path_factory: pytest.TempPathFactory, _module_leaves_nothing: object
) -> Iterator[Path]:
    """The connection file of a head of 2 CPUs."""
    with running_head(tmp_path_factory.mktemp("head")) as (_, file):
        yield file


def test_the_api_over_a_slow_line(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with through(head, delay=0.01) as (_, file), driver(file, monkeypatch) as ray:
        far_api.use(ray, np.arange(200_000))
        engine = context.engine
        assert engine.query("resources")["total"]["CPU"] == 2
        deadline = time.monotonic() + 10
        while not (lines := engine.query("logs", name="fail")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [line.text for line in lines] == ["about to fail"]
        with pytest.raises(LookupError, match="not kept"):  # for a notebook's debugger they are
            remains.Remains(engine.remains, "00")


def test_what_is_no_longer_used_leaves_the_mirror(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver(head, monkeypatch) as ray:

        @ray.remote
        def make(n: int) -> Any:
            return np.full(4_000_000, n)

        mirror = Path(context.engine.client.welcome.arena)
        for n in range(4):
            assert int(ray.get(make.remote(n))[-1]) == n
            ray.get(ray.put(np.full(4_000_000, n)))
        ray.get(make.remote(0))
        deadline = time.monotonic() + 10
        # in 512-byte blocks: two objects at most of the eight, and one may be looked at
        while mirror.stat().st_blocks * 512 > 70 << 20 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert mirror.stat().st_blocks * 512 <= 70 << 20
    assert not mirror.exists()


def test_objects_beyond_the_memory_travel_as_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running_head(tmp_path, "--object-store-memory", str(40 << 20)) as (_, file),
        driver(file, monkeypatch) as ray,
    ):

        @ray.remote
        def make(n: int) -> Any:
            return np.full(2_000_000, n)

        @ray.remote
        def last(x: Any) -> int:
            return int(x[-1])

        results = [make.remote(n) for n in range(5)]
        puts = [ray.put(np.full(2_000_000, n)) for n in range(5)]
        assert [int(x[-1]) for x in ray.get(results)] == list(range(5))
        assert ray.get([last.remote(ref) for ref in puts]) == list(range(5))
        assert [int(x[-1]) for x in ray.get(puts)] == list(range(5))


def test_no_result_is_lost_or_doubled_when_the_line_breaks(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with through(head) as (line, file), driver(file, monkeypatch) as ray:

        @ray.remote
        class Tally:
            def __init__(self) -> None:
                self.seen: list[int] = []

            def note(self, n: int) -> int:
                self.seen.append(n)
                return n

            def all(self) -> list[int]:
                return self.seen

        @ray.remote
        def square(n: int) -> int:
            return n * n

        tally = Tally.remote()
        refs = [square.remote(n) for n in range(1000)]
        notes = [tally.note.remote(n) for n in range(1000)]
        line.snap()
        assert ray.get(refs[:300]) == [n * n for n in range(300)]
        line.snap()
        assert ray.get(refs) == [n * n for n in range(1000)]
        line.snap()
        assert ray.get(notes) == list(range(1000))
        assert ray.get(tally.all.remote()) == list(range(1000))


def test_a_large_object_survives_a_cut_and_a_stall(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with through(head) as (line, file), driver(file, monkeypatch) as ray:

        @ray.remote
        def make() -> Any:
            return np.arange(10_000_000)

        @ray.remote
        def last(x: Any) -> int:
            return int(x[-1])

        for trouble in (line.snap, line.stall):
            before = line.passed
            got: list[Any] = []
            getting = threading.Thread(
                target=lambda to: to.append(ray.get(make.remote())), args=[got]
            )
            getting.start()
            while line.passed < before + (10 << 20):
                time.sleep(0.001)
            trouble()
            if trouble == line.stall:
                time.sleep(1.5)  # longer than a silence may be
                line.mend()
            getting.join(30)
            assert (got[0] == np.arange(10_000_000)).all()
            before = line.passed
            ref = ray.put(got[0])
            while line.passed < before + (10 << 20):
                time.sleep(0.001)
            line.snap()
            assert ray.get(last.remote(ref)) == 9_999_999


def test_a_killed_tunnel_is_the_end_and_leaves_nothing(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver(head, monkeypatch) as ray:
        ref = ray.put(np.zeros(1_000_000))
        folder, arena = context.engine.folder, context.engine.client.welcome.arena
        os.kill(tunnel(), signal.SIGKILL)
        with pytest.raises(ray.exceptions.RaySystemError, match="tunnel"):
            ray.get(ref)
    assert not os.path.exists(folder)
    assert not os.path.exists(arena)


def test_a_killed_gateway_is_the_end_and_its_session_can_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_head(tmp_path, "--name", "reopened") as (process, file):
        with driver(file, monkeypatch, QUICK._replace(comeback=1.5)) as ray:
            ray.put(1, name="kept")
            process.kill()
            with pytest.raises(ray.exceptions.RaySystemError, match="did not come back"):
                ray.get(ray.remote(lambda: 1).remote())
        process.wait()
        with running_head(tmp_path, "--session", "reopened") as (_, again):
            monkeypatch.undo()
            with driver(again, monkeypatch) as ray:
                assert ray.get(ray.remote(lambda: 1).remote()) == 1
        assert cli.main(["stop", "reopened"]) == 0


def test_who_has_another_key_is_not_told_that_it_is_wrong(head: Path) -> None:
    right = addresses.read(str(head))
    public, secret = zmq.curve_keypair()
    context_ = zmq.Context()
    peer = context_.socket(zmq.DEALER)
    peer.linger = 0
    peer.curve_serverkey = right.server_key.encode()
    peer.curve_publickey, peer.curve_secretkey = public, secret
    monitor = peer.get_monitor_socket()
    peer.connect(right.address)
    peer.send(b"\4" + bytes(32))
    heard = set()
    deadline = time.monotonic() + 0.7
    while time.monotonic() < deadline:
        if monitor.poll(100):
            heard.add(int.from_bytes(monitor.recv_multipart()[0][:2], "little"))
    peer.disable_monitor()
    monitor.close()
    peer.close()
    context_.term()
    assert zmq.Event.CONNECTED in heard
    assert not heard & {zmq.Event.HANDSHAKE_SUCCEEDED, zmq.Event.HANDSHAKE_FAILED_AUTH}


def test_versions_are_compared_before_anything_is_sent(tmp_path: Path) -> None:
    old = addresses.Address("tcp://127.0.0.1:9", *(c * 40 for c in "spk"), "n", "3.6", "0.0")
    addresses.write(tmp_path / "old.json", old)
    with pytest.raises(ConnectionError, match=r"python\d.\d+ -m raykernel head"):
        raykernel.init(address=str(tmp_path / "old.json"))
    with pytest.raises(ConnectionError, match=r"none.json can't be read"):
        raykernel.init(address=str(tmp_path / "none.json"))


def _bytes(*messages: Any) -> bytes:
    return packets.encode(packets.Bytes(bytes(encode(list(messages)))))


_HELLO = m.Hello("driver", b"n" * 16, 1)
NONSENSE = {
    "no packet": b"\xc1nonsense",
    "no frame": packets.encode(packets.Bytes(b"\x05\0\0\0hello")),
    "a frame without end": packets.encode(packets.Bytes(b"\xff" * 40)),
    "no greeting": _bytes(m.Want([b"x"])),
    "a worker": _bytes(m.Hello("worker", b"w" * 16, 1)),
    "a worker's words": _bytes(_HELLO, m.Blocked([b"t"])),
    "an object that did not come": _bytes(_HELLO, m.PutObject(m.Value(b"i", offset=8, size=9))),
    "an object nowhere": packets.sealed(m.Value(b"i", offset=1 << 50, size=9)),
    "a piece nowhere": packets.encode(packets.Block(1 << 50, 9, 0, b"x")),
    "a file elsewhere": packets.encode(packets.File(b"i", "../../x", 9, 0, b"x")),
}


def test_nonsense_costs_who_says_it_and_not_the_head(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From somebody who has the key."""
    where = addresses.read(str(head))
    build = msgspec.msgpack.encode(Build.mine(raykernel.__version__))
    with zmq.Context() as made, made.socket(zmq.DEALER) as peer:
        peer.linger = 0
        peer.curve_serverkey = where.server_key.encode()
        peer.curve_publickey = where.public_key.encode()
        peer.curve_secretkey = where.secret_key.encode()
        peer.connect(where.address)

        def answer(token: bytes) -> stream.Frame:
            while True:
                assert peer.poll(10_000), "no answer"
                frame = stream.parse(peer.recv())
                if frame.token == token and frame.kind != stream.BEAT:
                    return frame

        for junk in (b"", b"\1", os.urandom(200)):  # not even frames: they are passed over
            peer.send(junk)
        for what, said in NONSENSE.items():
            token = os.urandom(16)
            mine = stream.Stream(token, 0.0)
            peer.send(stream.compose(stream.OPEN, token, build))
            assert answer(token).kind == stream.OPENED, what
            if "where" in what:  # of objects it is known once the head has greeted
                hello = m.Hello("driver", os.urandom(16), 1)
                peer.send(mine.send(_bytes(hello), 0.0))
                greeting, _ = mine.receive(answer(token), 0.0)
                assert isinstance(packets.decode(greeting[0]), packets.Greeting), what
            peer.send(mine.send(said, 0.0))
            heard, _ = mine.receive(answer(token), 0.0)
            end = packets.decode(heard[0])
            assert isinstance(end, packets.End), what
            assert "makes no sense" in end.reason, what
    with driver(head, monkeypatch) as ray:
        assert ray.get(ray.remote(lambda: 6 * 7).remote()) == 42
