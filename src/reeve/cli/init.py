"""``reeve init``: a first flow and the ``reeve.yaml`` that deploys it; both work as they are."""

from __future__ import annotations

from pathlib import Path

import click

from reeve.cli.frame import example
from reeve.errors import ConflictError, ReeveError

FLOWS = """\
from reeve import flow, get_run_logger, task


@task(retries=2, retry_delay_seconds=5)
def greeting(name: str) -> str:
    return f"Hello, {name}!"


@flow
def hello(name: str = "world") -> str:
    said = greeting(name)
    get_run_logger().info("%s", said)
    return said


if __name__ == "__main__":
    hello()  # a plain call, without any server
"""

MANIFEST = """\
# What `reeve deploy` deploys. All keys: docs/guides/deployments.md
deployments:
  - name: first
    entrypoint: flows.py:hello
    parameters:
      name: reeve
    schedules:
      - cron: "0 3 * * *"
        timezone: UTC
        catchup: last     # of nights that were missed only the newest runs: none, last, all
        overlap: skip     # a night whose run finds the last one at work: allow, skip, queue, cancel_running
    max_run: 1h           # an attempt that takes longer fails: 1h:cancel, 1h:retry
"""

FILES = {"flows.py": FLOWS, "reeve.yaml": MANIFEST}


@click.command(epilog=example("reeve init", "reeve init nightly-jobs"))
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
def init(*, directory: Path) -> None:
    """Write a first flow, and the reeve.yaml that deploys it.

    No file that is there is changed.
    """
    there = [name for name in FILES if (directory / name).exists()]
    if there:
        raise ConflictError(
            f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} in {directory.absolute()} already. "
            "Name another directory: reeve init DIRECTORY"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ReeveError(f"{directory} cannot be written to: {error}.") from None
    click.echo(f"Wrote {' and '.join(str(directory / name) for name in FILES)}.")
    steps = [] if directory == Path() else [f"cd {directory}"]
    for step in (*steps, "reeve up                            # in another terminal", "reeve deploy"):
        click.echo(f"  {step}")
    click.echo("  reeve run hello/first --watch")
