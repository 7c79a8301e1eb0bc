"""Try a model with many settings at once, and keep the best. What was tried before is not trained again.

    python examples/sweep.py                                       # plain Python, no server
    reeve deploy examples/sweep.py:sweep -n example
    reeve run sweep/example --watch
    reeve run sweep/example -P 'degrees=[1,3,5,7,9,11]' --watch    # trains 7, 9 and 11
    reeve artifacts show best-model

To see: mapped tasks; `cache_by=INPUTS`, by which a task with the same parameters and the same code takes the
result of the earlier one. (The code of functions that it calls is not looked at.)
"""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass
from itertools import product

from reeve import INPUTS, create_markdown_artifact, create_table_artifact, flow, get_run_logger, task

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Trial:
    """A setting, and how wrong its model is about points that it has not seen."""

    degree: int
    penalty: float
    error: float


def observations(seed: int, count: int) -> Points:
    """Return points of a curve, measured badly."""
    dice = random.Random(seed)
    places = [dice.uniform(-1, 1) for _ in range(count)]
    return [(x, math.sin(4 * x) + dice.gauss(0, 0.2)) for x in places]


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve linear equations by elimination; the matrix is symmetric and positive."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for at, pivot in enumerate(rows):
        for other in rows[at + 1 :]:
            factor = other[at] / pivot[at]
            other[at:] = [value - factor * above for value, above in zip(other[at:], pivot[at:], strict=True)]
    solution: list[float] = []
    for at in reversed(range(len(rows))):
        known = sum(a * x for a, x in zip(rows[at][at + 1 : -1], solution, strict=True))
        solution.insert(0, (rows[at][-1] - known) / rows[at][at])
    return solution


def fit(points: Points, degree: int, penalty: float) -> list[float]:
    """Return the polynomial of least squares whose coefficients are kept small by the penalty."""
    powers = [[x**power for power in range(degree + 1)] for x, _ in points]
    columns = list(zip(*powers, strict=True))
    matrix = [[math.fsum(map(math.prod, zip(a, b, strict=True))) for b in columns] for a in columns]
    for at, row in enumerate(matrix):
        row[at] += penalty
    right = [sum(value * y for value, (_, y) in zip(a, points, strict=True)) for a in columns]
    return solve(matrix, right)


@task(cache_by=INPUTS, task_run_name="degree {degree}, penalty {penalty:g}")
def train(degree: int, penalty: float, seed: int) -> Trial:
    """Fit a model to some points, and judge it by others."""
    model = fit(observations(seed, 60), degree, penalty)
    unseen = observations(seed + 1, 200)
    misses = [y - sum(weight * x**power for power, weight in enumerate(model)) for x, y in unseen]
    trial = Trial(degree, penalty, round(math.hypot(*misses) / math.sqrt(len(misses)), 4))
    get_run_logger().info("trained: %s", trial)
    return trial


@flow
def sweep(
    degrees: tuple[int, ...] = (1, 3, 5), penalties: tuple[float, ...] = (0.001, 0.1, 1.0), seed: int = 1
) -> Trial:
    """Train with each degree and each penalty, and say which are best."""
    grid = list(product(degrees, penalties))
    trials = train.map([degree for degree, _ in grid], [penalty for _, penalty in grid], seed).result()
    ranking = sorted(trials, key=lambda trial: trial.error)
    best = ranking[0]
    create_table_artifact([asdict(trial) for trial in ranking], key="trials", description="Best first")
    create_markdown_artifact(
        f"Degree **{best.degree}**, penalty **{best.penalty:g}**: error {best.error}", key="best-model"
    )
    get_run_logger().info("Best of %d: %s", len(trials), best)
    return best


if __name__ == "__main__":
    sweep()
