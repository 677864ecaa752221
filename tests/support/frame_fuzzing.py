"""Random bytes from a worker, and the properties that the frame parser's results must have."""

from __future__ import annotations

import itertools
import json

from hypothesis import strategies as st

from treestar.sandbox.frames import Frame, FrameBuffer, FrameError, encode

FRAME_LIMIT = 300
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FRAMES = st.one_of(
    st.dictionaries(st.text(max_size=5), JSON, max_size=4).map(encode),
    JSON.map(lambda value: json.dumps(value).encode()).map(lambda body: len(body).to_bytes(4, "big") + body),
    st.builds(lambda body, length: length.to_bytes(4, "big") + body, st.binary(max_size=40), st.integers(0, 400)),
    st.builds(lambda sign, times: (len(sign) * times).to_bytes(4, "big") + sign * times,
              st.sampled_from([b"[", b'{"a":', b"-", b"9", b'"', b"\\u", b"\xff\xfe[\x00", b"\xef\xbb\xbf"]),
              st.integers(1, 400)),
    st.binary(max_size=30),
)  # fmt: skip


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Bytes that a worker can send: frames, and frames corrupted by a hostile step."""
    data = bytearray(b"".join(draw(st.lists(FRAMES, max_size=5))))
    for _ in range(draw(st.integers(0, 3)) if data else 0):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        if not data:
            break
    return bytes(data)


CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def received(data: bytes, sizes: list[int]) -> tuple[list[Frame], bool]:
    """The frames in `data` when it arrives in pieces of these sizes, repeatedly; and whether it ended in an error."""
    buffer = FrameBuffer(FRAME_LIMIT)
    frames: list[Frame] = []
    for size in itertools.cycle(sizes):
        if not data:
            return frames, False
        piece, data = data[:size], data[size:]
        try:
            frames += buffer.feed(piece)
        except FrameError:
            return frames, True
        assert len(buffer.bytes) <= FRAME_LIMIT + 4 + len(piece)
    raise AssertionError


def check_frames(data: bytes, sizes: list[int]) -> None:
    """The parser gives only objects or an error, the same however `data` is cut."""
    one_by_one, failed = received(data, [1])
    assert all(type(frame) is dict for frame in one_by_one)
    assert b"".join(map(encode, one_by_one)) is not None  # they can be sent on, as JSON
    cut, cut_failed = received(data, sizes)
    assert cut_failed == failed
    assert repr(cut) == repr(one_by_one[: len(cut)])  # compares texts, because NaN does not equal itself
    assert failed or len(cut) == len(one_by_one)  # a piece that ends in an error gives none of its frames
