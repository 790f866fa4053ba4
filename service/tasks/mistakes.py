"""Where a module of tasks went wrong at its import: file and line of the user's own code."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

from service.errors import ConfigurationError, TaskModuleError

#: Files in which a mistake of the user's shows, and does not stand.
_OURS = {
    importlib.__file__,
    *(
        str(Path(__file__).with_name(f"{name}.py"))
        for name in ("registry", "options", "signature", "pipelines", "steps", "neighbours")
    ),
}


def explain(module: str, error: BaseException) -> ConfigurationError:
    """Build the error that tells of what the import of a module raised."""
    cause = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:
        return TaskModuleError(module, error.filename, error.lineno or 0, cause)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if not frames:
        return ConfigurationError(f"task module {module!r} can't be imported: {cause}")
    return TaskModuleError(module, frames[-1].filename, frames[-1].lineno or 0, cause)


def _is_users(filename: str) -> bool:
    return filename not in _OURS and not filename.startswith("<frozen importlib")
