"""A head 50 ms away, over a line that loses one packet in a hundred (far.py says how): what is
promised of the API, of cancelling, of the key, and of a connection that breaks.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

import raykernel
from raykernel.runtime.remote import address as addresses
from raykernel.runtime.remote.stream import Timing
from tests.integration import far_api
from tests.integration.far import QUICK, Way, driver, far_head, until_it_dials

#: Quick to take a silence for a loss, but not so quick that a packet sent twice is one.
FAR = Timing(beat=0.3, silence=2.0, comeback=30.0, answer=10.0)
MIB = 1 << 20


@pytest.fixture(scope="module")
def far(
    tmp_path_factory: pytest.TempPathFactory, _module_leaves_nothing: object
) -> Iterator[tuple[Way, Path]]:
    with far_head(tmp_path_factory.mktemp("far")) as made:
        yield made


@pytest.fixture
def ray(far: tuple[Way, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with driver(far[1], monkeypatch, FAR) as connected:
        yield connected


def test_the_api_over_a_far_line(ray: ModuleType) -> None:
    @ray.remote
    def double(x: Any) -> Any:
        return x * 2

    begun = time.monotonic()
    assert ray.get([double.remote(n) for n in range(1000)]) == [2 * n for n in range(1000)]
    assert time.monotonic() - begun < 20, "a task waits for the answer to the one before"
    far_api.use(ray, np.arange(2 * MIB // 8))


def test_small_results_pass_large_ones(ray: ModuleType) -> None:
    @ray.remote
    def make(n: int) -> Any:
        return np.arange(n)

    @ray.remote
    def small(n: int) -> int:
        return n

    assert ray.get(small.remote(0)) == 0
    large = make.remote(16 * MIB // 8)
    took = []
    while not ray.wait([large], timeout=0)[0]:
        begun = time.monotonic()
        assert ray.get(small.remote(1)) == 1
        took.append(time.monotonic() - begun)
    assert len(took) > 3, "the small ones came after the large one"
    assert sorted(took)[len(took) // 2] < 1.0
    assert (ray.get(large) == np.arange(16 * MIB // 8)).all()


def test_get_wait_and_cancel_keep_their_time(ray: ModuleType, tmp_path: Path) -> None:
    @ray.remote
    def sleep(mark: str) -> None:
        Path(mark).touch()
        time.sleep(1000)

    @ray.remote
    def done() -> int:
        return 1

    mark = tmp_path / "runs"
    ref = sleep.remote(str(mark))
    begun = time.monotonic()
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(ref, timeout=0.5)
    assert time.monotonic() - begun < 3
    ready, waiting = ray.wait([ref, done.remote()], timeout=20)
    assert (waiting, ray.get(ready)) == ([ref], [1])
    assert mark.exists()
    begun = time.monotonic()
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=20)
    assert time.monotonic() - begun < 5


def test_a_cut_connection_comes_back_and_loses_nothing(
    far: tuple[Way, Path], ray: ModuleType
) -> None:
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
    def make() -> Any:
        return np.arange(3 * MIB // 8)

    tally = Tally.remote()
    ray.get(tally.note.remote(-1))
    large = make.remote()
    put = ray.put(np.arange(MIB // 8))
    notes = [tally.note.remote(n) for n in range(500)]
    got: list[Any] = []
    getting = threading.Thread(target=lambda: got.append(ray.get(large)))
    getting.start()
    far[0].cut()
    try:
        notes += [tally.note.remote(n) for n in range(500, 1000)]
        until_it_dials()
    finally:
        far[0].mend()
    mended = time.monotonic()
    assert ray.get(notes) == list(range(1000))
    assert time.monotonic() - mended < 30
    assert ray.get(tally.all.remote()) == list(range(-1, 1000)), "a call was lost or doubled"
    getting.join(60)
    assert (got[0] == np.arange(3 * MIB // 8)).all()
    assert int(ray.get(ray.remote(lambda x: x[-1]).remote(put))) == MIB // 8 - 1


def test_a_connection_that_stays_away_is_said_so(
    far: tuple[Way, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver(far[1], monkeypatch, FAR._replace(comeback=3.0)) as ray:
        ref = ray.remote(lambda: time.sleep(1000)).remote()
        ray.get(ray.remote(lambda: 1).remote())
        far[0].cut()
        try:
            begun = time.monotonic()
            with pytest.raises(ray.exceptions.RaySystemError, match="did not come back within 3 s"):
                ray.get(ref)
            with pytest.raises(ray.exceptions.RaySystemError, match="did not come back"):
                ray.get(ray.remote(lambda: 1).remote())
            assert time.monotonic() - begun < 10
        finally:
            far[0].mend()


def test_without_the_right_key_there_is_nothing_and_no_hint(
    far: tuple[Way, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = addresses.read(str(far[1]))
    public, secret = (key.decode() for key in zmq.curve_keypair())
    for name, change in (
        ("client's", {"public_key": public, "secret_key": secret}),
        ("server's", {"server_key": public}),
    ):
        wrong = tmp_path / "wrong.json"
        addresses.write(wrong, msgspec.structs.replace(right, **change))
        begun = time.monotonic()
        with (
            pytest.raises(ConnectionError, match=r"did not answer within 1.5 s"),
            driver(wrong, monkeypatch, QUICK),
        ):
            pass
        assert time.monotonic() - begun < 8, f"the {name} key"
    host, _, port = right.address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        # a greeting of zmq's that offers no key at all
        peer.sendall(b"\xff" + bytes(8) + b"\x7f\3\0" + b"NULL".ljust(20, b"\0") + bytes(32))
        heard = b""
        with suppress(ConnectionResetError):
            while data := peer.recv(4096):  # until it hangs up
                heard += data
    # at most zmq's own greeting, as from whatever speaks CURVE, and not a byte more
    assert len(heard) <= 64
    assert re.fullmatch(rb"(\xff.{8}\x7f(\x03.CURVE\x00+.?\x00*)?)?", heard, re.DOTALL)


def test_where_nobody_is_that_is_said_in_time(
    far: tuple[Way, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = addresses.read(str(far[1]))
    host = right.address.rpartition(":")[0]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        for address in (f"{host}:9", mute):
            nowhere = tmp_path / "nowhere.json"
            addresses.write(nowhere, msgspec.structs.replace(right, address=address))
            with (
                pytest.raises(ConnectionError, match=rf"{address} did not answer within 1.5 s"),
                driver(nowhere, monkeypatch, QUICK),
            ):
                pass
    assert not raykernel.is_initialized()
