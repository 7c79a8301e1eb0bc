"""The command ``reeve``: which commands there are, and how it fails."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module

import click

from reeve.cli.frame import example
from reeve.errors import ReeveError

TRACEBACK = "--traceback"
USER_ERROR = 1
BUG = 70  # EX_SOFTWARE: ``reeve up`` starts a process again that ends so, and not one that a user must help
INTERRUPTED = 130  # as a shell reports SIGINT

# Where each command lives, and what it says of itself, so that help loads none of them.
COMMANDS = {
    "up": ("reeve.cli.up:up", "Run a server and an agent on this machine, until Ctrl-C."),
    "init": ("reeve.cli.init:init", "Write a first flow, and the reeve.yaml that deploys it."),
    "deploy": ("reeve.cli.deploy:deploy", "Say how, where and when a flow runs."),
    "run": ("reeve.cli.run:run", "Ask for a run of a deployment, and watch it."),
    "runs": ("reeve.cli.runs:runs", "List, show, follow, cancel and explain runs."),
    "explain": ("reeve.cli.runs:explain", "Say why a run has not started, and what to do."),
    "deployments": ("reeve.cli.deployments:deployments", "List, show, pause and delete deployments."),
    "pools": ("reeve.cli.pools:pools", "Work pools: create, pause and limit them."),
    "queues": ("reeve.cli.queues:queues", "Work queues: create, pause, limit and rank them."),
    "artifacts": ("reeve.cli.artifacts:artifacts", "List and show what runs left for people to look at."),
    "variables": ("reeve.cli.variables:variables", "Texts by name that all flows share."),
    "blocks": ("reeve.cli.blocks:blocks", "Documents that flows keep: list, show and delete them."),
    "import": ("reeve.cli.imports:import_", "Bring over what another system holds."),
    "server": ("reeve.cli.server:server", "Start a server."),
    "agent": ("reeve.cli.agent:agent", "Start an agent; list, show, pause, resume and drain agents."),
    "config": ("reeve.cli.config:config", "Show the settings and where each came from."),
    "version": ("reeve.cli.version:version", "Print the version."),
}


class Commands(click.Group):
    """The group of all commands; each module is imported when its command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names, in the order of a user's first day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            near = get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {cmd_name!r}.{hint}")
        module, word = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), word)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in COMMANDS.items()])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog=example("reeve deploy flows.py:nightly -n prod"),
)
@click.option(TRACEBACK, is_flag=True, help="With any command: show where an error arose.")
def reeve(*, traceback: bool) -> None:  # main() reads it, wherever it stands
    """Run Python flows on schedule, on any machine you own."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 well, 1 an error of the user or the server, 2 misuse, 70 a bug."""
    given = sys.argv[1:] if arguments is None else arguments
    wants_traceback = TRACEBACK in given or os.environ.get("REEVE_TRACEBACK", "0") not in {"", "0"}
    try:
        reeve.main([word for word in given if word != TRACEBACK], prog_name="reeve")
    except ReeveError as error:
        if wants_traceback:
            raise
        click.echo(f"Error: {error.message}", err=True)
        sys.exit(USER_ERROR)
    except Exception:  # noqa: BLE001  # the last frame: everything else is a bug, and is shown whole
        sys.excepthook(*sys.exc_info())
        sys.exit(BUG)
