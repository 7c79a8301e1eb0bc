"""A house abroad: a real server of Prefect 2.20, and reeve's agents that serve it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from tests.interop.guests import PATIENCE, GuestHouse, environ, environment, until
from tests.interop.recorded import answers_at

CANCELLING = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
# As the client before 2.9 asked for it (A90).
CANCELLING_OF_OLD = {"state": {"type": "CANCELLED", "name": "Cancelling"}, "force": True}


class Abroad(GuestHouse):
    """The house's server is one of 2.20, on a database of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "sqlite:///not-used", open_door=True, REEVE_POLL_SECONDS="0.3")
        self.settings["REEVE_API_URL"] = self.api_url

    def start_server(self, *options: str, **_: str) -> None:
        """Start the server; again and again while its port is held by connections of an earlier one."""
        until("the 2.20 server", lambda: self._starts(*options))

    def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> httpx2.Response:
        """Send one request, again and again while 2.20's database is locked: it then answers 503."""

        def look() -> httpx2.Response | None:
            reply = super(Abroad, self).ask(method, path, body, key=key)
            return None if reply.status_code == 503 else reply

        answered = until("2.20's database", look)
        assert answered is not None
        return answered

    def _starts(self, *options: str) -> bool:
        home = self.root / "their-home"
        home.mkdir(exist_ok=True)
        with (self.root / "server.log").open("ab") as log:
            server = subprocess.Popen(
                [environment() / "prefect", "server", "start", "--port", str(self.port), *options],
                env=environ(home, self.api_url, None) | {"PREFECT_SERVER_ANALYTICS_ENABLED": "0"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until("the 2.20 server", lambda: answers_at(self.port) or server.poll() is not None)
        if server.poll() is None:
            self.processes["server"] = server
            return True
        assert "is already in use" in self.log("server"), self.log("server")
        return False


@contextmanager
def abroad(root: Path) -> Iterator[Abroad]:
    """Give a house abroad with its server started."""
    made = Abroad(root)
    try:
        made.start_server()
        yield made
    finally:
        if "server" in made.processes:  # asked first: killed, it would leave a child
            made.processes["server"].send_signal(signal.SIGTERM)
            made.processes["server"].wait(PATIENCE)
        made.close()


class Waiting:
    """A run of waiting.py: it marks its starts, and ends when it is let go. ``first``: its first state."""

    def __init__(
        self, house: GuestHouse, queue: str, name: str, first: str = "SCHEDULED", **parameters: Any
    ) -> None:
        self.house = house
        self.mark = house.root / f"{name}.mark"
        self.gate = house.root / f"{name}.go"
        given = {"mark": str(self.mark), "go": str(self.gate), **parameters}
        deployment = house.told("GET", f"/deployments/name/waiting/{queue}")["id"]
        body = {"parameters": given, "state": {"type": first}}
        self.id = str(house.told("POST", f"/deployments/{deployment}/create_flow_run", body)["id"])

    @property
    def starts(self) -> list[int]:
        return [int(line) for line in self.mark.read_text().split()] if self.mark.exists() else []

    def started(self) -> int:
        """Wait for its first start; return the pid of its engine."""
        return until(f"{self.id} to start", lambda: self.starts)[0]

    def let_go(self) -> None:
        self.gate.touch()

    def is_state(self, *names: str) -> Any:
        return self.house.state_is(self.id, *names)

    def asked(self, body: Any) -> None:
        self.house.told("POST", f"/flow_runs/{self.id}/set_state", body)

    def leaves_nothing(self) -> None:
        until(f"nothing of {self.id} to be left", lambda: not self.house.members(self.id))


def deploy(house: GuestHouse, queue: str, *interpreter: str) -> None:
    """Deploy waiting.py to a queue."""
    house.run_program("waiting.py", queue, *interpreter)
