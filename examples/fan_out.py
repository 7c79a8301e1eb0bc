"""A thousand small tasks, and the sum of what they found.

    python examples/fan_out.py                                     # plain Python, no server
    reeve deploy examples/fan_out.py:count_primes -n example
    reeve run count-primes/example --watch
    reeve run count-primes/example -P slices=100 -P size=5000

To see: `map` makes a task of each value of a list, and gives all of them what is no list, as it is.
"""

from __future__ import annotations

from math import isqrt

from reeve import flow, get_run_logger, task


def is_prime(number: int) -> bool:
    """Try all divisors up to the root."""
    return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))


@task
def primes_from(start: int, size: int) -> int:
    """Count the primes of one slice."""
    return sum(is_prime(number) for number in range(start, start + size))


@flow
def count_primes(slices: int = 1000, size: int = 100) -> int:
    """Count the primes below ``slices * size``, one task a slice."""
    end = slices * size
    counts = primes_from.map(range(0, end, size), size)
    total = sum(counts.result())
    get_run_logger().info("There are %d primes below %d.", total, end)
    return total


if __name__ == "__main__":
    count_primes()
