"""reeve's agent on a real 2.20 server: what scripts/test shows of it. The whole is their_server.py."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.house import House
from tests.interop.abroad import CANCELLING, Abroad, Waiting, abroad, deploy
from tests.interop.guests import until

from reeve.wire import endpoints


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
        house.is_logged(good.id, "done waiting")
        crashed = bad.is_state("Crashed")
        sentence = "Flow run infrastructure exited with non-zero status code 3."
        assert crashed["state"]["message"] == sentence
        words = "these are my last words"
        until("them", lambda: any(words in line for line in house.log_lines(bad.id)))
        doomed.is_state("Cancelled")
        doomed.leaves_nothing()
        assert "is one of Prefect 2.20" in house.log("agent")
        assert "Traceback" not in house.log("agent")
        _is_imported(house, tmp_path / "ours")


def _is_imported(there: Abroad, root: Path) -> None:
    """Import what that server holds to one of reeve's; the whole of it is importing.py."""
    here = House(root, f"sqlite:///{root / 'reeve.db'}")
    try:
        here.start_server()
        command = ("import", "prefect", "--from", there.api_url)
        assert "created           deployment waiting/q" in here.cli(*command)
        found = here.client.call(endpoints.read_deployment_by_name, flow_name="waiting", deployment_name="q")
        assert found.infra_overrides == {"command": [there.python, "-m", "prefect.engine"]}
        assert found.infrastructure_document_id, "2.20 makes a block of each deployment's infrastructure"
        assert "Nothing to do" in here.cli(*command)
    finally:
        here.close()
