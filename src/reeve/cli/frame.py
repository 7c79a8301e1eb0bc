"""What frames every command: ``--json``, options that a screen has no room for, the end of its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def rare(*names: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """Declare an option as click does, which only ``--help-all`` shows."""
    return click.option(*names, hidden=True, **attributes)


def _show_all(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    hidden = [one for one in context.command.params if isinstance(one, click.Option) and one.hidden]
    for option in hidden:
        option.hidden = False
    click.echo(context.get_help())
    for option in hidden:  # whoever asks in this process again may want the short help
        option.hidden = True
    context.exit()


help_all = click.option(
    "--help-all",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_all,
    help="Show the rare options too.",
)


def example(*lines: str) -> str:
    r"""Return an epilog that shows command lines; \b is click's mark for lines to keep."""
    return "\b\nExample: " + "\n         ".join(lines)
