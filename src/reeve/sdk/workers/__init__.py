"""Task functions called in other processes: what crosses to them, and who they are."""
