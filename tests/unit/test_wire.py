"""Framing: however a stream is cut, the same messages come out, and nonsense is named as such."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykernel.runtime import messages as m
from raykernel.runtime.wire import MAX_FRAME, Framer, WireError, encode

ids = st.binary(min_size=28, max_size=28)
message = st.one_of(
    st.builds(m.Want, st.lists(ids, max_size=3)),
    st.builds(m.Release, st.lists(ids, max_size=3)),
    st.builds(m.PutObject, st.builds(m.Value, ids, st.binary(max_size=300))),
    st.builds(m.Unblocked),
    st.builds(m.Query, st.integers(0, 9), st.text(max_size=9)),
    st.builds(
        m.TaskSpec, ids, ids, st.text(max_size=9), slots=st.tuples(st.integers(0, 9), st.text())
    ),
)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.lists(message, max_size=4), max_size=5), st.data())
def test_any_cut_of_the_stream_gives_the_same_messages(
    frames: list[list[object]], data: st.DataObject
):
    stream = b"".join(encode(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    framer: Framer[object] = Framer(m.ToHead)
    out = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += framer.feed(stream[start:stop])
    assert out == [message for frame in frames for message in frame]


def test_byte_by_byte():
    framer: Framer[object] = Framer(m.ToHead)
    said = [m.Want([b"a" * 28]), m.Unblocked()]
    stream = encode(said) + encode(said)
    assert [x for i in range(len(stream)) for x in framer.feed(stream[i : i + 1])] == said + said


def test_nothing_gives_nothing():
    framer: Framer[object] = Framer(m.ToHead)
    assert framer.feed(b"") == framer.feed(encode([])) == []


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type):
    framer: Framer[object] = Framer(m.ToHead)
    assert framer.feed(kind(bytes(encode([m.Unblocked()])))) == [m.Unblocked()]


def test_the_buffer_given_may_be_used_again():
    framer: Framer[object] = Framer(m.ToHead)
    stream = encode([m.Want([b"a" * 28])])
    buffer = bytearray(stream[:20])
    assert framer.feed(buffer) == []
    buffer[:] = bytes(20)
    assert framer.feed(stream[20:]) == [m.Want([b"a" * 28])]


def test_what_is_too_long_to_be_ours_is_not_waited_for():
    framer: Framer[object] = Framer(m.ToHead)
    with pytest.raises(WireError, match="frame of"):
        framer.feed((MAX_FRAME + 1).to_bytes(4, "little"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"\x91\x91\xcd\xff\xff",  # an unknown message
        b"\x91\x92\x05\x05",  # a Want of something else than ids
        b"\x91\x93\x0e\x01\xa1\xff",  # text that is no UTF-8
        b"GET / HTTP/1.1\r\n",
        b"\x91\x94\x0e\x01\xa1x\x81\xa1x" + b"\x91" * 200_000 + b"\xc0",  # nested without end
    ],
)
def test_a_frame_that_does_not_decode_is_an_error(body: bytes):
    framer: Framer[object] = Framer(m.ToHead)
    with pytest.raises(WireError):
        framer.feed(len(body).to_bytes(4, "little") + body)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_the_beginning_of_something(garbage: bytes):
    framer: Framer[object] = Framer(m.ToHead)
    size = len(garbage).to_bytes(4, "little")
    try:
        out = framer.feed(size + garbage)
    except WireError:
        return
    assert all(isinstance(x, m.Message) for x in out)
