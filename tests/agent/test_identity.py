"""Who an agent is, and what keeps two from being the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeve.agent.identity import occupy
from reeve.errors import InvalidInputError, ReeveError

HERE, THERE = "a" * 32, "b" * 32


def test_an_agent_keeps_its_id(tmp_path: Path) -> None:
    with occupy(tmp_path, "one", HERE) as first:
        pass
    with occupy(tmp_path, "one", HERE) as second:
        assert second == first
    assert first.machine_id == HERE
    assert first.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert first.directory == tmp_path / "agents" / HERE / "one"
    assert first.directory.stat().st_mode & 0o077 == 0


def test_agents_of_different_names_share_a_home(tmp_path: Path) -> None:
    with occupy(tmp_path, "one", HERE) as one, occupy(tmp_path, "two", HERE) as two:
        assert one.id != two.id


def test_a_name_is_taken_as_long_as_its_agent_lives(tmp_path: Path) -> None:
    with (
        occupy(tmp_path, "one", HERE),
        pytest.raises(ReeveError, match="--name"),
        occupy(tmp_path, "one", HERE),
    ):
        pass
    with occupy(tmp_path, "one", HERE):
        pass


def test_a_home_of_another_machine_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with occupy(tmp_path, "one", HERE):
        pass
    with pytest.raises(ReeveError, match="REEVE_HOME") as refused, occupy(tmp_path, "one", THERE):
        pass
    remedy = tmp_path / "agents" / "machine"
    assert str(remedy) in str(refused.value)
    remedy.unlink()
    with occupy(tmp_path, "one", THERE) as moved:
        assert moved.machine_id == THERE


def test_the_default_name_is_the_hosts(tmp_path: Path) -> None:
    with occupy(tmp_path, None, HERE) as identity:
        assert identity.name == identity.host


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "x" * 101, "nul\0"])
def test_a_name_that_is_no_directory_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError) as refused, occupy(tmp_path, name, HERE):
        pass
    assert refused.value.field == "name"


def test_a_damaged_identity_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with occupy(tmp_path, "one", HERE) as identity:
        pass
    (identity.directory / "agent.json").write_text("{")
    with pytest.raises(ReeveError, match="Remove it"), occupy(tmp_path, "one", HERE):
        pass
    with occupy(tmp_path, "two", HERE):  # the lock was given back, and others are not concerned
        pass


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("not a directory")
    with pytest.raises(ReeveError, match=str(home)), occupy(home, "one", HERE):
        pass


def test_errors_of_the_agent_are_not_taken_for_those_of_its_home(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="its own"), occupy(tmp_path, "one", HERE):
        raise OSError("its own")
