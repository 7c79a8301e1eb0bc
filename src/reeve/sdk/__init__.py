"""What users write with, and the engine that runs it: flows, tasks, states, parameters."""
