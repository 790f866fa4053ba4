"""What an engine around another one has of that."""

from __future__ import annotations

from service.engine.base import Engine


class AroundEngine:
    """All of an ``Engine`` but its verb; whoever derives from it adds ``run``."""

    def __init__(self, inner: Engine) -> None:
        """Close ``inner`` with this one."""
        self._inner = inner

    @property
    def backlog(self) -> float:
        """Seconds that one more call would wait now before it starts, as far as can be told."""
        return self._inner.backlog

    @property
    def ready(self) -> bool:
        """Whether a call need not wait for the tasks, and what they share, to be loaded."""
        return self._inner.ready

    @property
    def closed(self) -> bool:
        """Whether it takes no more work."""
        return self._inner.closed

    def warm(self) -> None:
        """Load the tasks and what they share, now and whenever they are lost, so that calls need not wait."""
        self._inner.warm()

    def close(self) -> None:
        """Stop everything and free every process; a second call does nothing."""
        self._inner.close()
