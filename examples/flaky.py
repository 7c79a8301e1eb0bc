"""A flow that fails twice and succeeds the third time: what retries are for."""

from __future__ import annotations

from reeve import current_run, flow

TRIES_NEEDED = 3


@flow(retries=2, retry_delay_seconds=0, log_prints=True)
def flaky() -> str:
    """Fail until the third try of this process."""
    number = current_run().try_number
    print(f"try {number}")
    if number < TRIES_NEEDED:
        raise ConnectionError(f"the other side hung up at try {number}")
    return f"done at try {number}"


if __name__ == "__main__":
    print(flaky())
