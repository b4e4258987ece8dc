"""The states that trials and sweeps can be in, as one word each."""

WAITING, RUNNING = "waiting", "running"
COMPLETE, PRUNED, DIVERGED, FAILED, STOPPED = "complete", "pruned", "diverged", "failed", "stopped"
DONE = "done"

ENDED = (COMPLETE, PRUNED, DIVERGED, FAILED, STOPPED)
