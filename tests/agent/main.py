"""Run an agent as the command line does:  REEVE_HOME=… python main.py '{"limit": 2}'."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from reeve import settings
from reeve.agent import agent
from reeve.errors import ReeveError

OPTIONS: dict[str, Any] = {
    "pool": None,
    "queues": [],
    "prefixes": [],
    "limit": None,
    "name": "tester",
    "run_once": False,
    "drain_timeout": 30.0,
}

if __name__ == "__main__":
    try:
        options = {**OPTIONS, **json.loads(sys.argv[1])}
        agent.ONCE_SECONDS = options.pop("once_seconds", agent.ONCE_SECONDS)
        agent.DELIVERY_SECONDS = options.pop("delivery_seconds", agent.DELIVERY_SECONDS)
        code = agent.run_agent(settings.load(os.environ), **options)
    except ReeveError as error:
        sys.exit(f"Error: {error}")
    sys.exit(code)
