"""Look into a folder every few seconds, and handle each file that has arrived: once.

    python examples/inbox.py                                       # plain Python: one look
    reeve deploy examples/inbox.py:take_in -n example --interval 5s --overlap skip -P folder=/tmp/inbox
    cp some.csv /tmp/inbox/some.part && mv /tmp/inbox/some.part /tmp/inbox/some.csv
    reeve runs ls --deployment take-in/example

To see: a schedule whose runs never overlap. A look that takes longer than the interval is not joined by
another, so that nobody else handles its files; the dates that it misses are shown as Skipped. A file has been
handled when it is in `done`: a run that dies before leaves it where it is, for the next one.
"""

from __future__ import annotations

import csv
from pathlib import Path

from reeve import flow, get_run_logger, task


@task(task_run_name="{file.name}")
def handle(file: Path, done: Path) -> int:
    """Add up the column ``amount`` of a file, write the sum down, and put the file away."""
    with file.open(newline="") as lines:
        total = sum(int(row["amount"]) for row in csv.DictReader(lines))
    done.mkdir(exist_ok=True)
    (done / f"{file.stem}.total").write_text(f"{total}\n")
    file.rename(done / file.name)  # the last thing: from here on it is done
    return total


@flow
def take_in(folder: Path = Path("data/inbox")) -> int:
    """Handle what has arrived in a folder; return how many files that were."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(folder.glob("*.csv"))  # what is still being written has another name
    failed = 0
    for file in files:
        state = handle.run(file, folder / "done")
        if not state.is_completed:
            failed += 1
            get_run_logger().error("%s stays where it is: %s", file.name, state.message)
    get_run_logger().info("%s: %d files handled", folder, len(files) - failed)
    return len(files) - failed


if __name__ == "__main__":
    take_in()
