"""Read the source of the Python that runs this, and report on it: a real job with real files.

    python examples/stdlib_report.py            # plain Python, no server
    reeve run examples/stdlib_report.py:stdlib_report

One task per top-level package parses its files; the report is a directory with ``report.md`` and
``lines.svg``. The numbers depend on the Python version alone, not on the machine or the order of tasks.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from reeve import flow, get_run_logger, task

SINGLE_MODULES = "(single modules)"
SKIPPED = {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests"}


@dataclass(frozen=True)
class Function:
    """A function and how long it is."""

    name: str
    lines: int


@dataclass
class Package:
    """What was counted in one top-level package."""

    name: str
    modules: int = 0
    lines: int = 0
    functions: int = 0
    unreadable: int = 0
    longest: list[Function] = field(default_factory=list)


def stdlib() -> Path:
    """Return the directory of the standard library's source."""
    return Path(sysconfig.get_path("stdlib"))


def find_packages() -> dict[str, list[Path]]:
    """Return the source files of each top-level package; modules without a package go together."""
    found: dict[str, list[Path]] = {}
    for file in sorted(stdlib().rglob("*.py")):
        place = file.relative_to(stdlib())
        if SKIPPED.isdisjoint(place.parts):
            name = place.parts[0] if len(place.parts) > 1 else SINGLE_MODULES
            found.setdefault(name, []).append(file)
    return found


@task(retries=1)
def read_package(name: str, files: list[Path], top: int) -> Package:
    """Parse the files of one package and count."""
    package = Package(name)
    functions: list[Function] = []
    for file in files:
        source = file.read_bytes()
        package.modules += 1
        package.lines += source.count(b"\n")
        try:
            tree = ast.parse(source)
        except SyntaxError:
            package.unreadable += 1
            continue
        functions += functions_of(tree, ".".join(file.relative_to(stdlib()).with_suffix("").parts))
    package.functions = len(functions)
    package.longest = longest(functions, top)
    get_run_logger().info("%s: %d modules, %d lines", name, package.modules, package.lines)
    return package


def functions_of(tree: ast.AST, module: str) -> list[Function]:
    """Return all functions of a module, methods and nested ones too."""
    return [
        Function(f"{module}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def longest(functions: list[Function], top: int) -> list[Function]:
    """Return the longest functions, equally long ones by name."""
    return sorted(functions, key=lambda one: (-one.lines, one.name))[:top]


@task
def write_report(packages: list[Package], top: int, output: Path) -> Path:
    """Write ``report.md`` and ``lines.svg`` and return where."""
    largest = sorted(packages, key=lambda one: (-one.lines, one.name))[:top]
    output.mkdir(parents=True, exist_ok=True)
    (output / "lines.svg").write_text(bar_chart(largest))
    (output / "report.md").write_text(report(packages, largest, top))
    return output / "report.md"


def report(packages: list[Package], largest: list[Package], top: int) -> str:
    """Return the report as Markdown."""
    modules, lines, functions, unreadable = (
        sum(getattr(one, count) for one in packages)
        for count in ("modules", "lines", "functions", "unreadable")
    )
    monsters = longest([one for package in packages for one in package.longest], top)
    rows = [f"| {one.name} | {one.modules} | {one.lines} | {one.functions} |" for one in largest]
    return "\n".join(
        [
            f"# The standard library of Python {sys.version.split()[0]}",
            "",
            f"{modules} modules in {len(packages)} packages, {lines} lines, {functions} functions.",
            f"{unreadable} files could not be parsed.",
            "",
            "![lines per package](lines.svg)",
            "",
            "| package | modules | lines | functions |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            "## Longest functions",
            "",
            *(f"{rank}. `{one.name}`, {one.lines} lines" for rank, one in enumerate(monsters, start=1)),
            "",
        ]
    )


def bar_chart(packages: list[Package]) -> str:
    """Return a bar chart of the packages' lines as SVG."""
    height, label, width = 22, 170, 560
    most = max((one.lines for one in packages), default=1) or 1
    bars = []
    for index, one in enumerate(packages):
        y, length = index * height + 8, round(one.lines / most * width)
        bars.append(
            f'<text x="{label - 8}" y="{y + 13}" text-anchor="end">{escape(one.name)}</text>'
            f'<rect x="{label}" y="{y}" width="{length}" height="{height - 6}" fill="#3b6ea5"/>'
            f'<text x="{label + length + 6}" y="{y + 13}">{one.lines}</text>'
        )
    size = f'width="{label + width + 80}" height="{len(packages) * height + 16}"'
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(bars) + "\n</svg>\n"


@flow
def stdlib_report(top: int = 20, output: Path = Path("stdlib-report")) -> dict[str, int]:
    """Count the standard library's modules, lines and functions, and write a report of the ``top`` ones."""
    sources = find_packages()
    futures = [read_package.submit(name, files, top) for name, files in sources.items()]
    packages = [future.result() for future in futures]
    written = write_report(packages, top, output)
    get_run_logger().info("The report is %s", written.resolve())
    return {
        "packages": len(packages),
        "modules": sum(one.modules for one in packages),
        "lines": sum(one.lines for one in packages),
        "functions": sum(one.functions for one in packages),
    }


if __name__ == "__main__":
    print(stdlib_report())
