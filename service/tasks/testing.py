"""For the tests of tasks: a call as the service makes it, and a look at what comes back.

arguments ─> JSON ─> checked by the hints ─> the function, in this process ─> checked by its hint ─> JSON

Of a pipeline each step is called so, and what it passes on is pickled on its way to the next.
"""

from __future__ import annotations

import collections.abc
import inspect
import pickle
import typing
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError

from service.tasks import contract, registry, signature, strict_json
from service.tasks.contract import InvalidArguments
from service.tasks.pipelines import Kind, Pipeline, Step

#: Stricter than is needed to be served: the hint is what clients are told.
_CONFIG = ConfigDict(
    strict=True,
    extra="forbid",
    revalidate_instances="always",
    arbitrary_types_allowed=True,
)

_STREAMS = (collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator)


def check_result(function: Callable[..., Any], /, **arguments: Any) -> Any:
    """Call a task with arguments that come as over HTTP, and check its result; of a generator, each item.

    Returns the result, of a generator the list of its items. Raises ``AssertionError`` when the result is
    not what the type hint says or has no form to be sent in, ``InvalidArguments`` when the arguments don't
    fit, and what the function raises.
    """
    task = _task(function)
    given = _as_over_http(task, arguments)
    declared = inspect.signature(function, eval_str=True).return_annotation
    result = function(**given)
    if inspect.isgeneratorfunction(function):
        result = list(result)
    if typing.get_origin(declared) in _STREAMS:
        model = _model((typing.get_args(declared) or (Any,))[0])
        for item in result:
            _check_fit(task.name, model, item)
    elif not inspect.isgeneratorfunction(function):
        _check_fit(task.name, _model(declared), result)
    if isinstance(result, bytes | bytearray | memoryview):
        media_type = task.media_type_of(given)
        assert isinstance(media_type, str), f"the media type of {task.name} is text, not {media_type!r}"
    else:
        _check_form(task.name, result)
    return result


def run_pipeline(pipeline: Pipeline, /, **arguments: Any) -> list[Any]:
    """Run all steps of a pipeline one after the other, item by item; check what each of them passes on.

    Returns what the last one gives. Raises as ``check_result`` does.
    """
    task = registry.get(pipeline.name)
    given = _as_over_http(task, arguments)
    first, *following = pipeline.steps
    items = _checked(pipeline, first, first.function(**given))
    for step in following:
        items = _checked(pipeline, step, _outputs(step, items))
    results = list(items)
    for item in results:
        if pipeline.media_type is None:
            _check_form(pipeline.name, item)
        else:
            is_bytes = isinstance(item, bytes | bytearray | memoryview)
            assert is_bytes, f"the last stage of {pipeline.name} gave {type(item).__name__}, not bytes"
    return results


def _outputs(step: Step, items: Iterator[Any]) -> Iterator[Any]:
    inputs = [items] if step.kind is Kind.WHOLE else items
    for given in inputs:
        result = step.function(given)
        if step.kind is Kind.SPREAD or (step.kind is Kind.WHOLE and isinstance(result, Iterator)):
            yield from result
        else:
            yield result


def _checked(pipeline: Pipeline, step: Step, outputs: Iterator[Any]) -> Iterator[Any]:
    name, is_last = f"{step.name} of {pipeline.name}", step is pipeline.steps[-1]
    # Only the last one's results become JSON, which has no infinities.
    model = _model(None if step.sink else step.gives, finite=is_last)
    for output in outputs:
        _check_fit(name, model, output)
        try:
            travelled = pickle.loads(pickle.dumps(output, 5))  # noqa: S301 - it was made here
        except Exception as error:
            raise AssertionError(f"what {name} passes on can't be sent: {error}") from error
        if not step.sink:
            yield travelled


def _task(function: Callable[..., Any]) -> registry.Task:
    for task in registry.plain_tasks():
        if task.function is function:
            return task
    signature.check(function)
    return registry.Task(function.__name__, function, 1, None, "application/octet-stream")


def _as_over_http(task: registry.Task, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return contract.build(task).validate_json(strict_json.dumps(arguments))
    except InvalidArguments as error:
        error.add_note("\n".join(f"{said['loc']}: {said['msg']}" for said in error.errors))
        raise


def _model(declared: Any, *, finite: bool = True) -> type[BaseModel] | None:
    """Make what checks a value of that type; ``None`` when pydantic does not know it, as numpy's."""
    if declared is inspect.Signature.empty:
        return None
    try:
        config: ConfigDict = {**_CONFIG, "allow_inf_nan": not finite}
        return create_model("Result", __config__=config, result=(declared, ...))
    except PydanticUserError:
        return None


def _check_fit(name: str, model: type[BaseModel] | None, value: Any) -> None:
    try:
        if model is not None:
            # The second step looks into models, which the first takes as they are.
            model.model_validate({"result": value}).model_dump(warnings="error")
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in details)
        raise AssertionError(f"{name} did not return what its type hint says: {said}") from None
    except PydanticSerializationError as error:
        raise AssertionError(f"{name} did not return what its type hint says: {error}") from None


def _check_form(name: str, value: Any) -> None:
    try:
        pickle.dumps(value, 5)
        strict_json.dumps(value)
    except Exception as error:
        raise AssertionError(f"what {name} returned can't be sent: {error}") from error
