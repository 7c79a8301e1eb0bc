"""What a shim and its templates say to each other. Stdlib only."""

from __future__ import annotations

import os

from reeve.drivers.process.tree import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

READY = b"ready"
GO = b"g"
LONGEST_ORDER = 128 << 10  # bytes that fit into one packet as kernels come (net.core.wmem_max)
ROOM = "REEVE_ROOM"  # makes the environment of a template as long as that of a run, which is written over it
ENDS = 3  # files that come with an order


def packed(order: dict[str, Any]) -> bytes | None:
    """Return an order as templates take it: directory and variables, a zero between two.

    None: no process can have these. Why not is said when it is started cold.
    """
    variables = {MARK: order["attempt"], **order["env"]}
    words = [order["cwd"], *map("=".join, variables.items())]
    text = "\0".join(words)
    if text.count("\0") >= len(words) or "" in variables or "=" in "".join(variables):
        return None
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return None
