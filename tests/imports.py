"""Who imports what, by the word of the process: a finder before all others writes down what is found."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

BUDGETS = Path(__file__).parent / "fixtures" / "budgets"
# Other Pythons divide their standard library otherwise, and packages do more for old ones: there it is judged
# whether anything of reeve or of a package came in, and no more.
_IS_COUNTED = sys.version_info[:2] == (3, 11)

# Executed by each interpreter when it starts. It loads nothing that would be counted: posix is built in.
# A fork writes to a file of its own from there on.
_WITNESS = """
import posix, sys

class Witness:
    def find_spec(self, name, path=None, target=None):
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                self.write(name + "\\t" + self.importer() + "\\n")
                return spec

    def importer(self):
        frame = sys._getframe(2)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        return f"{{frame.f_globals.get('__name__')}}:{{frame.f_lineno}}" if frame else "the interpreter"

    def write(self, line):
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC
        file = posix.open({folder!r} + "/" + str(posix.getpid()), flags, 0o600)
        posix.write(file, line.encode())
        posix.close(file)

Witness().write("argv\\t" + " ".join(sys.orig_argv).replace("\\n", " ") + "\\n")
sys.meta_path.insert(0, Witness())
"""


@dataclass
class Imports:
    """What one process has imported, with the module and line that did; ``argv`` is empty after a fork."""

    pid: int
    argv: str = ""
    importers: dict[str, str] = field(default_factory=dict)


class Trace:
    """A folder with what all processes have imported that were started with ``environ``."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "told"
        self._told.mkdir(parents=True)
        self.witness = folder / "path" / "sitecustomize.py"
        self.witness.parent.mkdir()
        self.witness.write_text(_WITNESS.format(folder=str(self._told)))

    @property
    def environ(self) -> dict[str, str]:
        """Have every Python that heeds its environment load the witness."""
        paths = [str(self.witness.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": os.pathsep.join(paths)}

    def isolated(self, program: Path) -> list[str]:
        """Return the command that runs a program, witnessed, in a Python that heeds no environment."""
        begin = f"sys.argv[0] = __file__ = {str(program)!r}\nexec(open(__file__).read())"
        code = f"{self.witness.read_text()}\n{begin}"
        return [sys.executable, "-I", "-S", "-c", code]

    def read(self) -> list[Imports]:
        """Return what the processes have told so far."""
        return [_read(file) for file in self._told.iterdir()]

    def of(self, words: str) -> dict[str, str]:
        """Return what processes have imported whose command contains some words, and who imported it."""
        found = [one.importers for one in self.read() if words in one.argv]
        assert found, f"no process was started as {words!r}"
        return {name: importer for one in found for name, importer in one.items()}


def _read(file: Path) -> Imports:
    imports = Imports(int(file.name))
    for line in file.read_text().splitlines():
        name, told = line.split("\t")
        if name == "argv":
            imports.argv = told
        else:
            imports.importers[name] = told
    return imports


def over_budget(program: str, importers: dict[str, str]) -> list[str]:
    """Return a sentence for each module by which a program differs from its list in ``BUDGETS``.

    What is loaded no more is to be taken off the list, so that it stays away. Private modules do not count:
    they are another module's affair.
    """
    file = BUDGETS / f"{program}.txt"
    listed = set(file.read_text().split())
    loaded = {name for name in importers if _counts(name)}
    came = [f"{program}: {name} came in, by {importers[name]}" for name in sorted(loaded - listed)]
    gone = sorted(listed - loaded) if _IS_COUNTED else []
    where = file.relative_to(Path(__file__).parents[1])
    return [*came, *(f"{program}: {name} is loaded no more: take it off {where}" for name in gone)]


def trespassers(program: str, importers: dict[str, str], banned: Iterable[str]) -> list[str]:
    """Return a sentence for each banned module, and each module below one, that was imported all the same."""
    return [
        f"{program}: {name} came in, by {importer}"
        for name, importer in importers.items()
        if any(name == one or name.startswith(f"{one}.") for one in banned)
    ]


def _counts(name: str) -> bool:
    parts = name.split(".")
    if any(part.startswith("_") for part in parts):
        return False
    return _IS_COUNTED or parts[0] not in sys.stdlib_module_names
