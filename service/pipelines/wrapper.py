"""An engine around another one."""

from __future__ import annotations

from service.engine.base import Engine


class Wrapper:
    """Is in the state that the inner engine is in; what it runs, and how, is for subclasses to say."""

    def __init__(self, inner: Engine) -> None:
        """Do not own ``inner``, but close it with this one."""
        self._inner = inner

    @property
    def backlog(self) -> float:
        """Seconds that one more call would wait now before it starts, as far as can be told."""
        return self._inner.backlog

    @property
    def ready(self) -> bool:
        """Whether a call need not wait for what tasks share to be loaded."""
        return self._inner.ready

    @property
    def closed(self) -> bool:
        """Whether it takes no more work."""
        return self._inner.closed

    def close(self) -> None:
        """Stop everything and free every process; a second call does nothing."""
        self._inner.close()
