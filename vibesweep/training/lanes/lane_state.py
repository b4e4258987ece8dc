"""What the dispatcher knows of one lane."""

from __future__ import annotations

from dataclasses import dataclass, field

from vibesweep.training.lanes.messages import Answer, Command

LOST_STARTS_IN_A_ROW = 2
"""A lane may lose its processes once while it comes up; twice in a row is no accident."""


@dataclass
class LaneState:
    """One lane as the dispatcher sees it.

    Attributes:
        size: ranks of the lane's worker group.
        generation: how often its worker group has come up.
        ready_ranks: ranks of this generation that can train.
        controller_pid: process, on the driver's host, that keeps the worker group up.
        commands: numbered commands of this generation, by position.
        answers: their answers, by the command's number.
        trial_id: the trial that holds the lane.
        was_ready: whether every rank was ready since the last loss of the worker group.
        starts_lost: worker groups in a row that were lost before they were ready.
        waiting: whether the lane has asked for hosts that are not there yet.
        closed: whether the lane takes no further trial.
    """

    size: int = 1
    generation: int = 0
    ready_ranks: set[int] = field(default_factory=set)
    controller_pid: int | None = None
    commands: list[Command] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    trial_id: str | None = None
    was_ready: bool = False
    starts_lost: int = 0
    waiting: bool = False
    closed: bool = False

    @property
    def ready(self) -> bool:
        """Whether every rank has opened its worker context."""
        all_ranks = self.generation > 0 and len(self.ready_ranks) == self.size
        return all_ranks and not self.closed

    @property
    def free(self) -> bool:
        """Whether a trial can have this lane now."""
        return self.ready and self.trial_id is None

    @property
    def never_comes_up(self) -> bool:
        """Whether the lane has lost too many worker groups before they were ready."""
        return self.starts_lost >= LOST_STARTS_IN_A_ROW

    def begin_generation(self, size: int) -> None:
        """Forget the last worker group; a new one with ``size`` ranks has come up."""
        self.size = size
        self.generation += 1
        self.waiting = False
        self.ready_ranks = set()
        self.commands = []
        self.answers = {}

    def mark_ready(self, rank: int) -> None:
        """Note that a rank can train; the lane is ready once all of them can."""
        self.ready_ranks.add(rank)
        if self.ready:
            self.was_ready = True
            self.starts_lost = 0

    def count_loss(self) -> None:
        """Count a lost worker group, if it was lost before it was ready."""
        if not self.was_ready:
            self.starts_lost += 1
        self.was_ready = False

    def append(self, command: Command) -> int:
        """Write down the next command and return its number."""
        self.commands.append(command)
        return len(self.commands) - 1
