"""What a shim and its templates say to each other. Stdlib only."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

READY = b"ready"
GO = b"g"
LONGEST_ORDER = 128 << 10  # bytes that fit into one packet as kernels come (net.core.wmem_max)
ROOM = "REEVE_ROOM"  # makes the environment of a template as long as that of a run, which is written over it
ENDS = 3  # files that come with an order


def joined(variables: Mapping[str, str]) -> str:
    """Return an environment as orders have it: NAME=TEXT, a zero between two.

    Raises ValueError for what no process can have.
    """
    text = "\0".join(map("=".join, variables.items()))
    if text.count("\0") >= len(variables) > 0 or "" in variables or "=" in "".join(variables):
        raise ValueError("a name must have no '=', and neither name nor text a zero byte")
    os.fsencode(text)
    return text


def split(text: str) -> dict[str, str]:
    """Return the environment of an order."""
    return dict(one.split("=", 1) for one in text.split("\0") if one)


def packed(order: dict[str, Any]) -> bytes | None:
    """Return an order as templates take it: directory and environment, a zero between the two.

    None: there can be no such directory. Why not is said when it is started cold.
    """
    directory: str = order["cwd"]
    try:
        return None if "\0" in directory else os.fsencode(f"{directory}\0{order['env']}")
    except UnicodeEncodeError:
        return None
