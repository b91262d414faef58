"""What the relays decide: which packet goes next, where objects lie, which addresses are any."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from raykernel.runtime.attach import Build
from raykernel.runtime.messages import ON_DISK, ErrorRecord, Value
from raykernel.runtime.remote import address as addresses
from raykernel.runtime.remote import packets, places, ssh
from raykernel.runtime.remote.address import Address, AddressError
from raykernel.runtime.remote.gateway import advertised
from raykernel.runtime.remote.outbox import Outbox, Transfer
from raykernel.runtime.remote.packets import PIECE, Block, Bytes, End, File
from raykernel.runtime.remote.places import Mirror, Misplaced, Places
from raykernel.runtime.remote.progress import Progress

HEAD = Address("tcp://h:1", "s" * 40, "p" * 40, "k" * 40, "name", "3.11", "1.0")


IT = packets.encode(Bytes(b"it"))


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
    outbox.add_large(transfer(2 * PIECE + 7), IT)
    for text in (b"a", b"b"):
        outbox.add(text)
    assert [word(p) for p in sent(outbox)] == [b"a", PIECE, b"b", PIECE, 7, b"it"]
    assert not outbox
    assert outbox.waiting == 0


def test_pieces_wait_for_their_room_and_messages_do_not() -> None:
    outbox = Outbox(ordered=False)
    outbox.add_large(transfer(PIECE + 1), IT)
    outbox.add(b"a")
    first, second = outbox.next(large=False), outbox.next(large=False)
    assert first is not None
    assert word(packets.decode(memoryview(first))) == b"a"
    assert second is None
    assert [word(p) for p in sent(outbox)] == [PIECE, 1, b"it"]


def test_towards_the_head_nothing_passes() -> None:
    outbox = Outbox(ordered=True)
    outbox.add(b"before")
    outbox.add_large(transfer(PIECE + 1), IT)
    outbox.add(b"uses it")
    outbox.end("")
    *rest, last = sent(outbox)
    assert [word(p) for p in rest] == [b"before", PIECE, 1, b"it", b"uses it"]
    assert last == End()


def test_what_hurries_passes_an_upload_and_no_frame_in_pieces() -> None:
    outbox = Outbox(ordered=True)
    assert not outbox.hurry(b"stop")  # there is nothing to pass
    frame = os.urandom(PIECE + 1)
    outbox.add(frame)
    outbox.add_large(transfer(2 * PIECE), IT)
    outbox.add(b"uses it")
    outbox.next()
    assert outbox.hurry(b"stop")
    assert [word(p) for p in sent(outbox)] == [
        frame[PIECE:],
        b"stop",
        PIECE,
        PIECE,
        b"it",
        b"uses it",
    ]
    outbox.add_large(transfer(2 * PIECE), IT)
    outbox.next()
    assert outbox.hurry(b"stop")
    assert [word(p) for p in sent(outbox)] == [b"stop", PIECE, b"it"]
    assert outbox.waiting == 0


def test_a_frame_in_pieces_is_not_torn_by_the_message_of_an_object() -> None:
    outbox = Outbox(ordered=False)
    frame = os.urandom(3 * PIECE)
    outbox.add_large(transfer(1), IT)
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


def full(_fd: int, _data: bytes, _at: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_has_no_room_in_the_mirror_goes_to_a_file(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = Value(b"id", offset=8192, size=4)
    mirror.lay(Block(8192, 4, 0, b"ab"))
    real, arena = places.write_all, mirror._fd
    monkeypatch.setattr(
        places, "write_all", lambda fd, data, at: (full if fd == arena else real)(fd, data, at)
    )
    mirror.lay(Block(8192, 4, 2, b"cd"))
    assert mirror.trouble(value) is None
    here = mirror.landed(value)
    assert (here.id, here.offset, here.size) == (b"id", ON_DISK, 4)
    file = tmp_path / "spill" / here.data.decode()
    assert file.read_bytes() == b"abcd"
    mirror.released([b"id"])
    assert not file.exists()
    monkeypatch.undo()
    mirror.lay(Block(8192, 4, 0, b"abcd"))  # the next that comes there has room
    assert mirror.landed(value) == value


def test_what_has_no_room_at_all_is_told_of_as_an_error(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = Value(b"id", offset=8192, size=4)
    monkeypatch.setattr(places, "write_all", full)
    mirror.lay(Block(8192, 4, 0, b"ab"))
    monkeypatch.undo()
    mirror.lay(Block(8192, 4, 2, b"cd"))  # the rest of it is of no use
    error = mirror.trouble(value)
    assert error is not None
    record = msgspec.msgpack.decode(places.unwritten(value, "this", error).data, type=ErrorRecord)
    assert record.kind == "full"
    assert record.message.endswith(
        "4 bytes could not be written on this machine: No space left on device"
    )
    assert mirror.trouble(value) is None


def test_a_file_is_opened_when_its_turn_comes(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "spill" / "a.pickle").write_bytes(b"abc")
    before = len(os.listdir("/dev/fd"))
    many = [mirror.file(b"id", "a.pickle", 3) for _ in range(100)]
    assert len(os.listdir("/dev/fd")) == before
    assert many[0].piece() == packets.encode(File(b"id", "a.pickle", 3, 0, b"abc"))
    (tmp_path / "spill" / "a.pickle").unlink()
    assert many[1].piece() == packets.encode(File(b"id", "a.pickle", 3, 0, b""))
    assert len(os.listdir("/dev/fd")) == before


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
    one = transfer(PIECE * 24)
    assert progress.look([], 0.0) == []
    assert progress.look([one], 0.5) == []
    for _ in range(8):
        one.piece()
    [bar] = progress.look([one], 1.6)
    assert (bar.n, bar.total, bar.unit, bar.closed) == (2.0, 6.0, "MiB", False)
    [bar] = progress.look([], 2.0)
    assert (bar.n, bar.total, bar.closed) == (6.0, 6.0, True)
    assert progress.look([], 3.0) == []


def test_a_connection_file_is_for_its_owners_eyes(tmp_path: Path) -> None:
    file = tmp_path / "head.json"
    addresses.write(file, HEAD)
    assert file.stat().st_mode & 0o777 == 0o600
    assert addresses.read(str(file)) == HEAD
    file.chmod(0o640)
    with pytest.raises(AddressError, match=r"mode is 0640.*chmod 600"):
        addresses.read(str(file))
    assert [path.name for path in tmp_path.iterdir()] == ["head.json"]


@pytest.mark.parametrize(
    "change",
    [
        *({"address": a} for a in ("h:1", "tcp://h", "ipc:///tmp/x", "tcp://h:1;x", "tcp://*:*")),
        *({key: k} for key in ("server_key", "secret_key") for k in ("", "short", "\\" * 40)),
    ],
)
def test_a_connection_file_that_was_tampered_with_is_of_no_use(
    tmp_path: Path, change: dict[str, str]
) -> None:
    file = tmp_path / "x.json"
    addresses.write(file, msgspec.structs.replace(HEAD, **change))
    with pytest.raises(AddressError, match="of no use") as info:
        addresses.read(str(file))
    assert HEAD.secret_key not in str(info.value)


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"kind": "other"}', b'{"kind": "\xff"}'])
def test_another_file_is_named_as_such(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(text)
    file.chmod(0o600)
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
