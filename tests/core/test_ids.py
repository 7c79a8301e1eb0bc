"""Identities of rows."""

from __future__ import annotations

import time
from uuid import RFC_4122

from reeve.ids import new_id


def test_an_id_is_a_uuid_that_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_of_one_moment_differ_in_all_that_is_chance() -> None:
    ids = [new_id().int for _ in range(2000)]
    assert len(set(ids)) == len(ids)
    fixed = 0xF << 76 | 0b11 << 62
    changing = 0
    for one in ids:
        changing |= one ^ ids[0]
    assert changing & ~fixed & (1 << 80) - 1 == (1 << 80) - 1 & ~fixed
