"""The last lines of each command's help: how it is typed."""

from __future__ import annotations


def example(*lines: str) -> str:
    r"""Return an epilog that shows command lines; \b is click's mark for lines to keep."""
    return "\b\nExample: " + "\n         ".join(lines)
