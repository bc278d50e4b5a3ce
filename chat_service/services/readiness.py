"""Whether this node should get new clients."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Readiness:
    """Starts unready. A store that is out of reach is no reason: an election would empty the balancer."""

    has_started: bool = False
    is_draining: bool = False
    has_old_schema: bool = False
    clock_problem: str | None = None
    dead_tasks: set[str] = field(default_factory=set)

    def find_reason(self) -> str | None:
        """Why not, in a few words; None when ready."""
        if self.is_draining:
            return "draining"
        if self.has_old_schema:
            return "the schema of the metadata store is not that of this version"
        if self.clock_problem is not None:
            return self.clock_problem
        if self.dead_tasks:
            return f"died and is being restarted: {', '.join(sorted(self.dead_tasks))}"
        return None if self.has_started else "starting"
