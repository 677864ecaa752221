"""The frame parser on input from a hostile process."""

from __future__ import annotations

from hypothesis import given, settings
from support.frame_fuzzing import CUTS, check_frames, streams


@settings(max_examples=300)
@given(data=streams(), sizes=CUTS)
def test_any_bytes_give_objects_or_an_error_however_they_are_cut(data: bytes, sizes: list[int]) -> None:
    check_frames(data, sizes)
