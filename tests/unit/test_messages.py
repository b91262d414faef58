"""The words that processes speak to each other can be told apart."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from raykernel.runtime import messages as m

CHANNELS = {
    "ToHead": m.ToHead,
    "ToClient": m.ToClient,
    "ToZygote": m.ToZygote,
    "FromZygote": m.FromZygote,
}


def words(channel: Any) -> tuple[type[m.Message], ...]:
    return get_args(channel) or (channel,)


@pytest.mark.parametrize("channel", CHANNELS)
def test_no_two_messages_of_a_channel_have_the_same_tag(channel: str) -> None:
    of_tag: dict[Any, str] = {}
    for word in words(CHANNELS[channel]):
        tag = word.__struct_config__.tag
        assert tag is not None, f"{word.__name__} has no tag"
        assert tag not in of_tag, f"{word.__name__} has the tag of {of_tag[tag]}, {tag}"
        of_tag[tag] = word.__name__


def test_each_message_belongs_to_a_channel() -> None:
    """Else it can be sent, and whoever gets it can't read it."""
    known = {word for channel in CHANNELS.values() for word in words(channel)}
    assert {cls.__name__ for cls in m.Message.__subclasses__()} == {w.__name__ for w in known}


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_sent_is_what_comes(channel: str) -> None:
    sent = m.TaskSpec(b"task", b"function", "name", extra=m.TaskExtra(actor=m.ActorOptions("A")))
    example = {
        "ToHead": sent,
        "ToClient": m.RunTask(sent, [m.Value(b"x", b"1")]),
        "ToZygote": m.Fork(b"worker"),
        "FromZygote": m.Died(b"worker", -9),
    }[channel]
    data = msgspec.msgpack.encode(example)
    assert msgspec.msgpack.decode(data, type=CHANNELS[channel]) == example
