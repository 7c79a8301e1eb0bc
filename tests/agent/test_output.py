"""How a stream is cut for its way to the server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeve.agent import output
from reeve.agent.output import PART_BYTES, cut, lines_size

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "final", "size"),
    [
        (b"", False, 0),
        (b"begun", False, 0),
        (b"begun", True, 5),
        (b"whole\nbegun", False, 6),
        (b"x" * PART_BYTES, False, PART_BYTES),
        ("é".encode() * (PART_BYTES // 2 - 1) + b"x\xc3", False, PART_BYTES - 1),
    ],
)
def test_whole_lines_go_and_the_rest_waits(data: bytes, final: bool, size: int) -> None:
    assert lines_size(data, final=final) == size


@given(
    st.lists(st.sampled_from([b"\n", b"a", "é".encode(), "😀".encode(), b"\xff", b"\xf0\x9f"]), max_size=60)
)
def test_nothing_is_lost_or_moved_on_the_way(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    for by_line in (False, True):
        chunks = cut("stdout", 7, data, NOW, by_line=by_line)
        joined = "".join(chunk.text for chunk in chunks).encode()
        assert len(joined) == len(data)
        ends = [chunk.offset + len(chunk.text.encode()) for chunk in chunks]
        assert [chunk.offset for chunk in chunks] == [7, *ends][: len(chunks)]
        assert joined.decode() == data.decode(errors="reeve.marked")


@given(st.text(alphabet="a\né😀", max_size=40), st.integers(1, 12))
def test_characters_are_never_cut(text: str, part_bytes: int) -> None:
    data, whole, before = text.encode(), "", output.PART_BYTES
    output.PART_BYTES = part_bytes + 3  # a character fits
    try:
        offset = 0
        while offset < len(data):
            part = data[offset : offset + output.PART_BYTES]
            size = lines_size(part, final=True)
            whole += part[:size].decode()
            offset += size
    finally:
        output.PART_BYTES = before
    assert whole == text
