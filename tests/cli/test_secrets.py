"""Secret parameters that are read from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reeve import Secret
from reeve.cli.secrets import read_parameters
from reeve.errors import InvalidInputError
from reeve.sdk.parameters import Parameters
from reeve.sdk.schema import parameter_schema


def flow(
    handle: str, password: Secret, spare: Secret | None = None, many: list[Secret] | None = None
) -> None: ...


SCHEMA = parameter_schema(Parameters("f", flow))


@pytest.mark.parametrize(
    ("name", "said", "kept", "got"),
    [
        ("password", "@{}", "open sesame\n", "open sesame"),
        ("password", "@{}", "4711\r\n", "4711"),
        ("spare", "@{}", " two\nlines\n\n", " two\nlines\n"),
        ("many", "@{}", '["a", "b"]', ["a", "b"]),
        ("password", "4711", "", "4711"),
        ("handle", "@bob", "", "@bob"),
        ("number", "4711", "", 4711),
    ],
)
def test_a_secret_is_read_from_its_file(tmp_path: Path, name: str, said: str, kept: str, got: Any) -> None:
    (tmp_path / "file").write_bytes(kept.encode())
    assert read_parameters(SCHEMA, [(name, said.format(tmp_path / "file"))]) == {name: got}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"'password' is secret.*No such file"):
        read_parameters(SCHEMA, [("password", f"@{tmp_path / 'none'}")])
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="it is no text"):
        read_parameters(SCHEMA, [("password", f"@{tmp_path / 'bytes'}")])
