"""The memory of a template, laid out so that its children write to few pages.

What was freed while modules were imported lies scattered among what stays. A child that allocates would take
it, and have a page copied for nearly each piece. So the holes are filled once, with what is never freed: then
children allocate from pages of their own, one piece beside the other.
"""

from __future__ import annotations

import ctypes
from typing import Any

_LARGEST = 120 << 10  # bytes; from 128 KiB on libc maps blocks of their own
_LARGE = 1032  # bytes; what is smaller libc keeps at hand when it is freed, instead of giving it back
_STEP = 16  # bytes, of libc's sizes and of Python's
_PYTHONS = 512  # bytes; what is larger Python asks of libc
_POOL_HEADER = 48  # bytes, where Python's pools begin that hold pieces of one size
_PAGE = 4096
_MOST_PIECES = 1 << 13  # of a size; an allocator that works otherwise is left alone

_kept: list[object] = []


class _Info(ctypes.Structure):
    """What mallinfo2(3) tells of libc's heap; the last is how much lies above all that is in use."""

    _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(9)] + [("above", ctypes.c_size_t)]


def fill() -> None:
    """Fill the holes in Python's heap, and in libc's if that tells of it (glibc from 2.33 on)."""
    for size in range(_STEP, _PYTHONS + 1, _STEP):
        _fill_pools(size)
    libc = ctypes.PyDLL(None)
    if hasattr(libc, "mallinfo2"):
        _fill_libc(libc)


def _fill_pools(size: int) -> None:
    """Take pieces of a size until they come from a pool that nothing was taken from."""
    pieces: list[object] = []
    last = 0
    for _ in range(_MOST_PIECES):
        pieces.append(_piece(size, len(pieces)))
        place = id(pieces[-1])
        if place == last + size and last % _PAGE == _POOL_HEADER:
            _kept.append(pieces)
            return
        last = place


def _piece(size: int, number: int) -> object:
    """Return a new object of so many bytes, of a kind of which Python keeps no spare ones."""
    if size == 16:
        return object()
    if size == 32:
        return (1 << 31) + number  # int, for no bytes are so small
    return bytes(size - b"".__sizeof__())


def _fill_libc(libc: Any) -> None:
    """Take blocks of each size until they come from above all that was in use."""
    libc.mallinfo2.restype = _Info
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    above = libc.sbrk(0) - libc.mallinfo2().above
    for size in (*range(_LARGEST, _LARGE, -256), *range(_LARGE, 0, -_STEP)):
        while (block := libc.malloc(size)) and block < above:
            pass
        if size > _LARGE:
            libc.free(block)
