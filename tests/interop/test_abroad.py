"""reeve's agent on a real 2.20 server: what scripts/test shows of it. The whole is their_server.py."""

from __future__ import annotations

from pathlib import Path

from tests.interop.abroad import CANCELLING, Waiting, abroad, deploy


def test_runs_crashes_and_cancels_flows_of_a_2_20_server(tmp_path: Path) -> None:
    with abroad(tmp_path) as house:
        deploy(house, "q", house.python)
        house.start("agent", "agent", "start", "-q", "q", "--name", "ours", "--limit", "3")
        good, bad = Waiting(house, "q", "good"), Waiting(house, "q", "bad", code=3)
        doomed = Waiting(house, "q", "doomed")
        for each in (good, bad, doomed):
            each.started()
        good.let_go()
        bad.let_go()
        doomed.asked(CANCELLING)

        assert good.is_state("Completed", "Failed", "Crashed")["state_name"] == "Completed"
        assert "done waiting" in house.log_lines(good.id)
        crashed = bad.is_state("Crashed")
        sentence = "Flow run infrastructure exited with non-zero status code 3."
        assert crashed["state"]["message"] == sentence
        assert any("these are my last words" in line for line in house.log_lines(bad.id))
        doomed.is_state("Cancelled")
        doomed.leaves_nothing()
        assert "is one of Prefect 2.20" in house.log("agent")
        assert "Traceback" not in house.log("agent")
