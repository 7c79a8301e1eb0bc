"""The guide's examples, run as a user would run them: in a directory of their own, by their own pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "testing.md"
# Plug-ins of this environment that have nothing to do with it, and warn.
QUIET = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:asyncio")
_BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def test_the_examples_of_the_guide_pass(tmp_path: Path) -> None:
    blocks = dict(_BLOCK.findall(GUIDE.read_text()))
    assert {"flows.py", "conftest.py"} < set(blocks)
    for name, code in blocks.items():
        (tmp_path / name).write_text(code)
    tests = sum(code.count("def test_") for code in blocks.values())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *QUIET],
        cwd=tmp_path,
        env={**os.environ, "REEVE_HOME": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout
    assert not (tmp_path / "none").exists()  # nothing of the user's own is touched
