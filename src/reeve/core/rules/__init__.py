"""The rules of states: pure functions from a run, a proposed state and facts to a verdict."""
