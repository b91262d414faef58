"""A worker's unsent bytes: what is read after its death goes on exactly where the socket ended."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from raykernel.runtime.journal import SIZE, Journal, path_of, rest

WORKER = b"w" * 8

#: What a worker does: sends so many bytes at once, or keeps so many, or sends what it kept.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, SIZE * 2)),
        st.tuples(st.just("keep"), st.integers(1, SIZE // 3)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 255), st.floats(0, 1))
def test_nothing_is_missed_and_nothing_comes_twice(
    tmp_path_factory, what: list[tuple[str, int]], seed: int, share: float
) -> None:
    folder = str(tmp_path_factory.mktemp("session"))
    journal = Journal(folder, WORKER)
    stream, sent = bytearray(), 0  # all there is to say, and how much of it reached the socket
    kept = 0
    for kind, size in what:
        if kind == "keep" and kept + size <= SIZE:
            piece = bytes((seed + i) % 251 for i in range(size))
            journal.write(len(stream), piece)
            stream += piece
            kept += size
        else:
            stream += bytes(size if kind == "send" else 0)
            sent, kept = len(stream), 0
    received = sent + int(kept * share)  # death may strike while what was kept is being sent
    assert rest(folder, WORKER, received) == bytes(stream[received:])
    assert not Path(path_of(folder, WORKER)).exists()


def test_who_kept_nothing_leaves_nothing(tmp_path: Path) -> None:
    assert rest(str(tmp_path), WORKER, 10) == b""
