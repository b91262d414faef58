"""What the relays decide: which packet goes next, where objects lie, which addresses are any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raykernel.runtime.attach import Build
from raykernel.runtime.remote import address as addresses
from raykernel.runtime.remote import packets, ssh
from raykernel.runtime.remote.address import Address, AddressError
from raykernel.runtime.remote.gateway import advertised
from raykernel.runtime.remote.outbox import Outbox, Transfer
from raykernel.runtime.remote.packets import PIECE, Block, Bytes, End, File
from raykernel.runtime.remote.places import Mirror, Misplaced, Places
from raykernel.runtime.remote.progress import Progress

HEAD = Address("tcp://h:1", "s", "p", "k", "name", "3.11", "1.0")


def sent(outbox: Outbox) -> Iterator[Any]:
    while (packet := outbox.next()) is not None:
        yield packets.decode(memoryview(packet))


def transfer(size: int) -> Transfer:
    data = bytes(range(256)) * (size // 256 + 1)
    return Transfer(4096, size, lambda at, n: data[at : at + n])


def word(packet: Any) -> Any:
    return len(packet.data) if isinstance(packet, Block) else packet.data


def test_small_messages_pass_a_large_object_and_its_own_comes_after_it() -> None:
    outbox = Outbox(ordered=False)
    outbox.add_large(transfer(2 * PIECE + 7), b"it")
    for text in (b"a", b"b"):
        outbox.add(text)
    assert [word(p) for p in sent(outbox)] == [b"a", PIECE, b"b", PIECE, 7, b"it"]
    assert not outbox
    assert outbox.waiting == 0


def test_pieces_wait_for_their_room_and_messages_do_not() -> None:
    outbox = Outbox(ordered=False)
    outbox.add_large(transfer(PIECE + 1), b"it")
    outbox.add(b"a")
    first, second = outbox.next(large=False), outbox.next(large=False)
    assert first is not None
    assert word(packets.decode(memoryview(first))) == b"a"
    assert second is None
    assert [word(p) for p in sent(outbox)] == [PIECE, 1, b"it"]


def test_towards_the_head_nothing_passes() -> None:
    outbox = Outbox(ordered=True)
    outbox.add(b"before")
    outbox.add_large(transfer(PIECE + 1), b"put")
    outbox.add(b"uses it")
    outbox.end("")
    *rest, last = sent(outbox)
    assert [word(p) for p in rest] == [b"before", PIECE, 1, b"put", b"uses it"]
    assert last == End()


def test_a_frame_in_pieces_is_not_torn_by_the_message_of_an_object() -> None:
    outbox = Outbox(ordered=False)
    frame = os.urandom(3 * PIECE)
    outbox.add_large(transfer(1), b"it")
    outbox.add(frame)
    stream = [p for p in sent(outbox) if isinstance(p, Bytes)]
    assert b"".join(p.data for p in stream) == frame + b"it"
    assert [p.whole for p in stream] == [False, False, True, True]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "arena").write_bytes(bytes(1 << 20))
    (tmp_path / "spill").mkdir()
    made = Mirror(str(tmp_path / "arena"), 1 << 20, str(tmp_path / "spill"))
    yield made
    made.close()


def test_a_delivery_underway_keeps_its_place_when_an_earlier_one_is_given_back(
    mirror: Mirror,
) -> None:
    # on a file system that can't punch holes the bytes stay: what counts is that they are not lost
    mirror.write(Block(8192, 2, 0, b"ab"))
    mirror.write(Block(8192, 2, 0, b"a"))
    mirror.unpin([8192])
    mirror.write(Block(8192, 2, 1, b"b"))
    assert mirror.block(8192, 2).piece() == packets.encode(Block(8192, 2, 0, b"ab"))
    mirror.unpin([8192, 8192, 12288])  # what is not there is no matter


def test_a_file_goes_with_the_last_reference_and_comes_again_if_it_was_not(
    mirror: Mirror, tmp_path: Path
) -> None:
    file = tmp_path / "spill" / "ab12.pickle"
    mirror.write(File(b"id", file.name, 4, 0, b"abc"))
    mirror.write(File(b"id", file.name, 4, 3, b"d"))
    assert file.read_bytes() == b"abcd"
    mirror.released([b"id", b"other"])
    assert not file.exists()
    assert mirror.was_dropped(b"id")
    assert not mirror.was_dropped(b"id")


@pytest.mark.parametrize(
    "packet",
    [
        Block(-1, 1, 0, b"x"),
        Block(1 << 20, 1, 0, b"x"),
        Block(0, 2, 1, b"xx"),
        File(b"i", "../x.pickle", 1, 0, b"x"),
        File(b"i", ".hidden", 1, 0, b"x"),
        File(b"i", "a/b", 1, 0, b"x"),
    ],
)
def test_the_other_side_names_no_place_outside(mirror: Mirror, packet: Any) -> None:
    with pytest.raises(Misplaced):
        Places.write(mirror, packet)


def test_progress_is_told_of_what_takes_a_while_and_closed_at_the_end() -> None:
    progress = Progress("from the head")
    one = transfer(PIECE * 3)
    assert progress.look([], 0.0) == []
    assert progress.look([one], 0.5) == []
    one.piece()
    [bar] = progress.look([one], 1.6)
    assert (bar.n, bar.total, bar.unit, bar.closed) == (PIECE, 3 * PIECE, "B", False)
    [bar] = progress.look([], 2.0)
    assert (bar.n, bar.total, bar.closed) == (3 * PIECE, 3 * PIECE, True)
    assert progress.look([], 3.0) == []


def test_a_connection_file_is_for_its_owners_eyes(tmp_path: Path) -> None:
    file = tmp_path / "head.json"
    addresses.write(file, HEAD)
    assert file.stat().st_mode & 0o777 == 0o600
    assert addresses.read(str(file)) == HEAD
    assert addresses.too_open(str(file)) == ""
    file.chmod(0o644)
    assert "chmod 600" in addresses.too_open(str(file))
    assert [path.name for path in tmp_path.iterdir()] == ["head.json"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "other"}'])
def test_another_file_is_named_as_such(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(AddressError, match="no connection file"):
        addresses.read(str(file))


def test_versions_must_agree() -> None:
    assert addresses.why_not(HEAD, Build("3.11", "1.0", "/x")) == ""
    assert "python3.12 -m raykernel head" in addresses.why_not(HEAD, Build("3.12", "1.0", ""))
    assert "pip install raykernel==1.0" in addresses.why_not(HEAD, Build("3.11", "2.0", ""))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("ssh://me@host", ssh.Place("me@host")),
        ("ssh://host:2222/opt/py/bin/python", ssh.Place("host", "2222", "/opt/py/bin/python")),
    ],
)
def test_ssh_addresses(text: str, where: ssh.Place) -> None:
    assert ssh.place(text) == where


@pytest.mark.parametrize("text", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a@b@c", "ssh://h;ls"])
def test_what_is_no_ssh_address(text: str) -> None:
    with pytest.raises(AddressError):
        ssh.place(text)


def test_the_address_that_others_are_told() -> None:
    assert advertised("tcp://10.0.0.1:5", "") == "tcp://10.0.0.1:5"
    assert advertised("tcp://0.0.0.0:5", "gpu") == "tcp://gpu:5"
    assert not advertised("tcp://0.0.0.0:5", "").startswith("tcp://0.0.0.0")
