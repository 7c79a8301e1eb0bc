"""Run an agent as the command line does:  REEVE_HOME=… python main.py '{"limit": 2}'."""

from __future__ import annotations

import json
import os
import sys

from reeve import settings
from reeve.agent import Agent, agent, conductor
from reeve.errors import ReeveError

if __name__ == "__main__":
    try:
        options = {"name": "tester", "work_pool_name": "default-agent-pool", **json.loads(sys.argv[1])}
        conductor.ONCE_SECONDS = options.pop("once_seconds", conductor.ONCE_SECONDS)
        conductor.DELIVERY_SECONDS = options.pop("delivery_seconds", conductor.DELIVERY_SECONDS)
        named = {name: options.pop(name, None) for name in ("drain_timeout", "leave_runs")}
        chosen = settings.load(os.environ, named)
        agent.serve(Agent(**options, settings=chosen), chosen.log_level)
    except ReeveError as error:
        sys.exit(f"Error: {error}")
