"""Flows and tasks as methods: what a decorated function is bound to when a class or an instance is asked."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from inspect import CO_COROUTINE, iscoroutinefunction, signature
from types import FunctionType, MethodType
from typing import Any, Self, TypeVar

B = TypeVar("B", bound="Bindable")


class Bindable:
    """Has a function ``fn`` that may be a method; ``derived`` names what is worked out from its signature."""

    derived: tuple[str, ...] = ()
    fn: Callable[..., Any]
    _bound_by: type | None

    def bound_to(self, instance: object, owner: type | None) -> Self:
        """Return what ``instance.method`` or ``owner.method`` is, as Python's own functions do."""
        if self._bound_by is staticmethod or isinstance(self.fn, MethodType):
            return self
        receiver = (owner or type(instance)) if self._bound_by is classmethod else instance
        if receiver is None:
            return self
        bound = copy(self)
        bound.fn = MethodType(self.fn, receiver)
        for name in self.derived:
            bound.__dict__.pop(name, None)
        return bound

    @property
    def receiver(self) -> dict[str, Any]:
        """Return the instance or class that the function is bound to, by the name its parameter has."""
        if not isinstance(self.fn, MethodType):
            return {}
        return {next(iter(signature(self.fn.__func__).parameters), "self"): self.fn.__self__}


def unwrapped(fn: Any) -> tuple[Callable[..., Any], type | None]:
    """Return the plain function, and ``classmethod`` or ``staticmethod`` if it was wrapped so."""
    if isinstance(fn, classmethod | staticmethod):
        return fn.__func__, type(fn)
    return fn, None


def is_coroutine_function(fn: Callable[..., Any]) -> bool:
    """Whether calls of a function are to be awaited; of a plain one by its flags, as inspect finds them."""
    if type(fn) is FunctionType:
        return bool(fn.__code__.co_flags & CO_COROUTINE)
    return iscoroutinefunction(fn)
