"""What frames every command: ``--json``, and the last lines of its help."""

from __future__ import annotations

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def example(*lines: str) -> str:
    r"""Return an epilog that shows command lines; \b is click's mark for lines to keep."""
    return "\b\nExample: " + "\n         ".join(lines)
