"""Whether what a step gives is what the next one takes, as far as type hints can tell.

gives, takes ─> rewritten to what the comparison knows ─> beartype: is the one a subtype of the other?

When in doubt it fits: a mistake shows at the first run, and a pipeline that is refused wrongly has none.
``beartype.door.is_subhint`` is the one comparison of hints that is kept up with Python's typing; unions,
literals, tuples, protocols and generic classes are its part. What stands here it refuses, or does not
know: an int for a float and a bytearray for bytes (PEP 484), a list of anything for one of numbers, a tuple
for a sequence, arrays.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import abc
from typing import Any

from service.tasks.stages import Kind, Step

#: What does for a value of that type.
_PROMOTED: dict[Any, Any] = {
    float: float | int,
    complex: complex | float | int,
    bytes: bytes | bytearray | memoryview,
}
#: What is meant by hints that say too little.
_SAID: dict[Any, Any] = {
    typing.Never: Any,
    typing.NoReturn: Any,
    typing.Self: Any,
    typing.LiteralString: str,
    list: list[Any],
    set: set[Any],
    frozenset: frozenset[Any],
    dict: dict[Any, Any],
    # Of two items, of three, or of any number.
    tuple: Any,
    abc.Iterable: abc.Iterable[Any],
    abc.Collection: abc.Collection[Any],
    abc.Sequence: abc.Sequence[Any],
    abc.Mapping: abc.Mapping[Any, Any],
}
#: Hints with arguments that are no hints, or not all of them.
_WHOLE = (typing.Literal, abc.Callable)
_UNIONS = (typing.Union, types.UnionType)
#: What a tuple of any length does for, and a class that has items of one type.
_SEQUENCES = (abc.Container, abc.Iterable, abc.Collection, abc.Reversible, abc.Sequence)
#: What a stage says it takes that may mean all items.
_OF_ALL = (list, set, frozenset, abc.Iterator, abc.Generator, *_SEQUENCES)
_ITEMS: dict[Any, Any] = {str: str, bytes: int, bytearray: int, range: int}


def fits(gives: Any, takes: Any) -> bool:
    """Tell whether a value of the first type may be passed where the second is taken."""
    if Any in (gives, takes) or takes is object or gives == takes or gives in _members(takes):
        return True
    # It takes a tenth of a second to import, which only those pay whose hints are not the same.
    import beartype.door  # noqa: F401, PLC0415 - not within try: where it lacks, everything would fit

    try:
        given, taken = _rewritten(gives), _accepting(_rewritten(takes))
        return all(_is_subtype(one, taken) or _may_be(one, taken) for one in _members(given))
    except Exception:  # noqa: BLE001 - hints may be anything, and some can't be compared
        return True


def mismatch(before: Step, after: Step) -> str:
    """Word that the one step gives what the other does not take."""
    gives, takes = name_of(before.gives), name_of(after.takes)
    if gives == takes:
        gives, takes = map(inspect.formatannotation, (before.gives, after.takes))
    giver = "producer" if before.kind is Kind.PRODUCE else "stage"
    taken = f"an iterator of {takes}" if after.kind is Kind.WHOLE else takes
    said = f"{giver} {before.name!r} gives {gives}, but stage {after.name!r} takes {taken}"
    return said + _advice(before, after)


def _advice(before: Step, after: Step) -> str:
    """Word what a stage is to say that seems to want all items, when it says it takes one list of them."""
    if after.kind is not Kind.WHOLE:
        for container in _members(_rewritten(after.takes)):
            origin, (item, *more) = typing.get_origin(container), typing.get_args(container) or (Any,)
            of_many = origin in _OF_ALL or (origin is tuple and more == [...])
            if of_many and fits(before.gives, item):
                return f"; Iterator[{name_of(item)}] would take all items"
    return ""


def name_of(hint: Any) -> str:
    """Word a type hint as a person would write it."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return "None" if hint is types.NoneType else hint.__qualname__
    if typing.get_origin(hint) is typing.Annotated:
        return name_of(typing.get_args(hint)[0])
    return inspect.formatannotation(hint)


def _is_subtype(hint: Any, of: Any) -> bool:
    from beartype.door import is_subhint  # noqa: PLC0415 - see fits

    return is_subhint(hint, of)


def _may_be(given: Any, taken: Any) -> bool:
    """Tell whether a class is a container as is wanted, while nobody knows of what, as a NamedTuple."""
    if not isinstance(given, type) or given in _ITEMS or typing.get_args(given):
        return False
    containers = (typing.get_origin(one) for one in _members(taken))
    return any(isinstance(container, type) and issubclass(given, container) for container in containers)


def _rewritten(hint: Any) -> Any:
    """Put what the comparison knows in place of what it does not."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is None:
        return _rewritten_name(hint)
    if origin is typing.Annotated:
        return _rewritten(args[0])
    if origin in _UNIONS:
        return _union(map(_rewritten, args))
    if origin.__module__.partition(".")[0] == "numpy":
        return origin
    if origin is tuple and args[1:] == (...,):
        item = _rewritten(args[0])
        return Any if item is Any else types.GenericAlias(tuple, (item, ...))
    return hint if origin in _WHOLE or not args else origin[tuple(map(_rewritten, args))]


def _rewritten_name(hint: Any) -> Any:
    if isinstance(hint, typing.TypeVar):
        bounds = hint.__constraints__ or (hint.__bound__ or Any,)
        return _union(map(_rewritten, bounds))
    if hasattr(hint, "__value__"):
        # The alias that Python 3.12 has a statement for.
        return _rewritten(hint.__value__)
    if isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__total__"):
        # A TypedDict, whose members nobody can compare.
        return dict[str, Any]
    if isinstance(hint, type) and (parameters := getattr(hint, "__parameters__", ())):
        return typing.cast("Any", hint)[(Any,) * len(parameters)]
    return _SAID.get(hint, hint)


def _accepting(hint: Any) -> Any:
    """Widen a hint of what is taken by all that does for it."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return _union(map(_accepting, args))
    if origin is None or origin in _WHOLE or not args:
        return _PROMOTED.get(hint, hint)
    wide = origin[tuple(arg if arg is ... else _accepting(arg) for arg in args)]
    if origin not in _SEQUENCES:
        return wide
    (item,) = typing.get_args(wide)
    likes = [sequence for sequence, of in _ITEMS.items() if _is_subtype(of, item)]
    return _union([wide, types.GenericAlias(tuple, (item, ...)), *likes])


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)


def _union(hints: abc.Iterable[Any]) -> Any:
    return typing.Union[tuple(hints)]  # noqa: UP007 - they are known at run time only
