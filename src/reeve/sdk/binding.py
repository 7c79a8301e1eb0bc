"""Flows and tasks as methods: what a decorated function is bound to when a class or an instance is asked."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import update_wrapper
from inspect import CO_COROUTINE, iscoroutinefunction, signature
from types import FunctionType, MethodType
from typing import Any, Self, TypeVar

B = TypeVar("B", bound="Bindable")


class Bindable:
    """Has a function ``fn`` that may be a method; ``derived`` names what is worked out from its signature."""

    derived: tuple[str, ...] = ()
    fn: Callable[..., Any]
    is_async: bool
    _bound_by: type | None = None

    def hold(self, fn: Any) -> None:
        """Have this function, and look like it, as ``functools.update_wrapper`` makes it look."""
        if type(fn) is FunctionType and not vars(
            fn
        ):  # as nearly all; what others need costs a run thirty pages
            self.fn = fn
            self.is_async = bool(fn.__code__.co_flags & CO_COROUTINE)
            self.__module__ = fn.__module__
            self.__name__ = fn.__name__
            self.__qualname__ = fn.__qualname__
            self.__doc__ = fn.__doc__
            self.__annotations__ = fn.__annotations__
            self.__wrapped__ = fn
            return
        self.fn, self._bound_by = unwrapped(fn)
        self.is_async = is_coroutine_function(self.fn)
        update_wrapper(self, self.fn)  # type: ignore[arg-type]  # it takes whatever can be called

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
    if isinstance(fn, (classmethod, staticmethod)):  # a union is made anew each time
        return fn.__func__, type(fn)
    return fn, None


def is_coroutine_function(fn: Callable[..., Any]) -> bool:
    """Whether calls of a function are to be awaited; of a plain one by its flags, as inspect finds them."""
    if type(fn) is FunctionType:
        return bool(fn.__code__.co_flags & CO_COROUTINE)
    return iscoroutinefunction(fn)
