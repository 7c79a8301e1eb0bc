"""The API as Python calls: the logic once (``calls``, ``retry``), and two shells that perform it."""
