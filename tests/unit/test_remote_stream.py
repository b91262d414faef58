"""The reliable stream: whatever the channel does, all arrives, once and in order."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykernel.runtime.remote.stream import (
    OPEN,
    WINDOW,
    Stream,
    StreamError,
    Timing,
    compose,
    parse,
)

TOKEN = b"t" * 16


class Side:
    """A stream, what it is to send, what came, and the channel that leads to the other side."""

    def __init__(self) -> None:
        self.stream = Stream(TOKEN, 0.0, Timing())
        self.came: list[bytes] = []
        self.channel: deque[bytes] = deque()


def deliver(to: Side, frame: bytes, now: float) -> None:
    came, answer = to.stream.receive(parse(frame), now)
    to.came += [bytes(each) for each in came]
    to.channel.extend(answer)


# what the channel does next: deliver, lose, repeat, swap; a side sends; time passes; it breaks
step = st.tuples(
    st.sampled_from(
        ["deliver", "deliver", "lose", "repeat", "swap", "send", "send", "wait", "cut", "hold"]
    ),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(step, max_size=80))
def test_all_arrives_once_and_in_order(steps: list[tuple[str, bool]]) -> None:
    sides = (Side(), Side())
    sent: tuple[list[bytes], list[bytes]] = ([], [])
    now, holds = 0.0, [False, False]
    for what, first in steps:
        me, other = sides if first else sides[::-1]
        channel = me.channel
        if what == "send":
            payload = b"%d" % len(sent[not first])
            sent[not first].append(payload)
            channel.append(me.stream.send(payload, now))
        elif what == "deliver" and channel:
            deliver(other, channel.popleft(), now)
        elif what == "lose" and channel:
            channel.popleft()
        elif what == "repeat" and channel:
            channel.append(channel[0])
        elif what == "swap":
            channel.rotate(1)
        elif what == "cut":
            for side in sides:
                side.channel.clear()
            me.channel.append(me.stream.resume(now))
        elif what == "hold":
            holds[first] = not holds[first]
            me.channel.extend(me.stream.hold(holds[first], now))
        elif what == "wait":
            now += 0.7
            channel.extend(me.stream.beat(now))
    for side in sides:
        side.channel.extend(side.stream.hold(False, now))
    for _ in range(6):  # the channel is well again
        now += 2.0
        for me, other in (sides, sides[::-1]):
            me.channel.extend(me.stream.beat(now))
            while me.channel:
                deliver(other, me.channel.popleft(), now)
    assert (sides[1].came, sides[0].came) == sent
    assert all(side.stream.settled and side.stream.unconfirmed == 0 for side in sides)


def test_what_is_unconfirmed_is_bounded() -> None:
    side, other = Side(), Side()
    count = 0
    while side.stream.has_room:
        side.channel.append(side.stream.send(bytes(1 << 18), 0.0))
        count += 1
    assert count * (1 << 18) <= WINDOW
    while side.channel:
        deliver(other, side.channel.popleft(), 0.0)
    while other.channel:  # confirmed along the way, without a beat
        deliver(side, other.channel.popleft(), 0.0)
    assert side.stream.has_room


def test_who_holds_is_sent_a_window_and_no_more_and_loses_nothing() -> None:
    side, other = Side(), Side()
    other.stream.hold(True, 0.0)
    count = 0
    for now in range(3):  # as in a real one: it is asked for what it has, and says it is there
        while side.stream.has_room:
            side.channel.append(side.stream.send(bytes(1 << 18), now))
            count += 1
        while side.channel:
            deliver(other, side.channel.popleft(), now)
        other.channel.extend(other.stream.beat(now))
        while other.channel:
            deliver(side, other.channel.popleft(), now)
    assert count * (1 << 18) <= WINDOW
    assert len(other.came) == count
    [free] = other.stream.hold(False, 3.0)
    deliver(side, free, 3.0)
    assert side.stream.settled
    assert side.stream.has_room


@pytest.mark.parametrize(("rate", "least", "most"), [(1 << 18, 1, 3), (1 << 26, 6, 32)])
def test_large_pieces_fill_the_line_and_not_its_queue(rate: int, least: int, most: int) -> None:
    # a line of `rate` bytes a second, 50 ms long: how many pieces are on their way in the end
    side, other, now, free = Side(), Side(), 0.0, 0.0
    way: deque[tuple[float, bytes]] = deque()
    for _ in range(200):
        while side.stream.has_room and side.stream.has_room_for_large:
            frame = side.stream.send(bytes(1 << 18), now)
            free = max(free, now) + len(frame) / rate
            way.append((free + 0.05, frame))
        now, frame = way.popleft()
        deliver(other, frame, now)
        while other.channel:
            deliver(side, other.channel.popleft(), now)
    assert least <= len(way) + 1 <= most


def test_a_loss_at_the_end_is_noticed_by_the_next_beat() -> None:
    side, other = Side(), Side()
    side.stream.send(b"lost", 0.0)
    assert side.stream.beat(0.5) == []
    [beat] = side.stream.beat(1.0)
    deliver(other, beat, 1.0)
    [ask] = other.channel
    deliver(side, ask, 1.0)
    deliver(other, side.channel.popleft(), 1.0)
    assert other.came == [b"lost"]


def test_a_gap_is_asked_for_once_however_much_follows() -> None:
    side, other = Side(), Side()
    frames = [side.stream.send(b"%d" % n, 0.0) for n in range(5)]
    for frame in frames[1:]:
        deliver(other, frame, 0.0)
    assert len(other.channel) == 1


@pytest.mark.parametrize("data", [b"", b"x" * 32, b"\0" * 33, b"\xff" * 40])
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(StreamError):
        parse(data)


def test_a_frame_outside_the_stream() -> None:
    frame = parse(compose(OPEN, TOKEN, b"hello"))
    assert (frame.kind, frame.token, bytes(frame.payload)) == (OPEN, TOKEN, b"hello")
