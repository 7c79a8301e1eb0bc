"""How flows and tasks are run: the logic once (``script``), two shells, and where states go."""
