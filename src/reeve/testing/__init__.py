"""For the tests of your own flows: a server in your test's process, with a clock to move by hand.

    from reeve.testing import house

    def test_report():
        with house() as here:
            run = here.run(report, day="2026-03-28")
            assert run.result() == 42

The guide is docs/guides/testing.md; ``reeve.testing.fixtures`` has ``house`` as a fixture of pytest.
"""

from reeve.testing.clock import Clock
from reeve.testing.deployments import Deployment, Upcoming
from reeve.testing.house import House, house
from reeve.testing.runs import Run, TaskRun

__all__ = ["Clock", "Deployment", "House", "Run", "TaskRun", "Upcoming", "house"]
