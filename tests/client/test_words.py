"""The words of the wire, which are loaded on first use, are those that its modules define."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

from reeve.wire import endpoints, requests, responses
from reeve.wire.endpoints import ENDPOINTS


def modules(package: ModuleType) -> list[ModuleType]:
    return [import_module(f"{package.__name__}.{one.name}") for one in iter_modules(package.__path__)]


def test_every_operation_is_a_word() -> None:
    assert len(ENDPOINTS) > 100  # of some two hundred: an empty table would prove nothing
    assert {one.name for one in ENDPOINTS if getattr(endpoints, one.name, None) is not one} == set()


@pytest.mark.parametrize("package", [requests, responses], ids=["requests", "responses"])
def test_every_body_is_a_word(package: ModuleType) -> None:
    defined = {
        name: value
        for module in modules(package)
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert len(defined) > 50  # as above
    assert {name for name, value in defined.items() if getattr(package, name, None) is not value} == set()


@pytest.mark.parametrize("package", [endpoints, requests, responses])
def test_no_word_has_the_name_of_a_module(package: ModuleType) -> None:
    for module in modules(package):
        word = module.__name__.rpartition(".")[2]
        assert getattr(package, word) is module


def test_what_is_no_word_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"'reeve\.wire\.requests' has no .* 'Nonsense'"):
        getattr(requests, "Nonsense")  # noqa: B009  # a type checker knows that there is none


def test_a_word_loads_its_own_module_alone() -> None:
    code = "import sys; from reeve.wire.requests import Poll; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    named = {name for name in loaded.split() if name.startswith("reeve.wire.requests.")}
    assert named == {"reeve.wire.requests.agents"}
