"""Fetching code: real repositories, real archives, and what somebody could hide in their names."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeve.core.pull_steps import (
    GIT_SCHEMES,
    check_inside,
    check_ref,
    check_url,
    kept_step,
    read_step,
    submodule_url,
)
from reeve.errors import InvalidInputError
from reeve.sdk import pull as pulling
from reeve.sdk.code import code_version
from reeve.sdk.pull import PullError, extract, pull

RUNS = 50
LOCAL = ("-c", "protocol.file.allow=always")  # for submodules in directories


def git(at: Path, *arguments: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", "-C", str(at), *names, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class Repository:
    """A repository of flows on this machine."""

    def __init__(self, at: Path) -> None:
        self.at = at
        at.mkdir()
        git(at, "init", "--quiet")

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            file = self.at / name.replace("__", "/").replace("_py", ".py")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        git(self.at, "add", "--all")
        git(self.at, "commit", "--quiet", "--allow-empty", "-m", "x")
        return git(self.at, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


class Machine:
    """A machine with a cache, and what its runs say."""

    def __init__(self, at: Path) -> None:
        self.cache = at / "cache"
        self.runs = at / "runs"
        self.runs.mkdir()
        self.said: list[str] = []

    def run(self, **step: Any) -> pulling.Pulled:
        return self.pull([read_step(step)])

    def pull(self, steps: list[dict[str, Any]]) -> pulling.Pulled:
        return pull(steps, self.cache, pulling.directory(str(self.runs)), self._hear)

    def _hear(self, _level: int, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# --- git


def test_a_named_commit_is_that_commit(repository: Repository, machine: Machine) -> None:
    first = repository.commit(flows_py="one", sub__more_py="below")
    repository.commit(flows_py="two")
    url = str(repository.at)
    old = machine.run(git={"url": url, "commit": first})
    assert (old.version, (old.directory / "flows.py").read_text()) == (first, "one")
    below = machine.run(git={"url": url, "commit": first, "directory": "sub"})
    assert (below.directory / "more.py").read_text() == "below"
    assert machine.said[0].endswith("(fetched).")
    assert machine.said[1].endswith("(from the cache).")


def test_a_branch_is_what_it_is_when_the_run_starts(repository: Repository, machine: Machine) -> None:
    url = f"file://{repository.at}"
    for text in ("one", "two"):
        commit = repository.commit(flows_py=text)
        for step in ({"url": url}, {"url": url, "ref": "main"}):
            found = machine.run(git=step)
            assert (found.version, (found.directory / "flows.py").read_text()) == (commit, text)
    git(repository.at, "tag", "v1.0")
    assert machine.run(git={"url": url, "ref": "v1.0"}).version == commit


def test_many_runs_at_once_fetch_once_and_never_meet(repository: Repository, machine: Machine) -> None:
    commit = repository.commit(flows_py="one")
    with ThreadPoolExecutor(RUNS) as pool:
        step = {"url": str(repository.at), "commit": commit}
        found = list(pool.map(lambda _: machine.run(git=step), range(RUNS)))
    assert len({one.directory for one in found}) == RUNS
    assert {(one.directory / "flows.py").read_text() for one in found} == {"one"}
    assert sum(said.endswith("(fetched).") for said in machine.said) == 1
    (found[0].directory / "flows.py").write_text("changed by its run")
    assert (machine.run(git=step).directory / "flows.py").read_text() == "one"


def test_a_fault_is_tried_again_with_its_reason(
    repository: Repository, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "TRIES", (0.0, 0.01, 0.01))
    absent = f"file://{repository.at}-absent"
    with pytest.raises(PullError, match="could not be fetched in 3 tries: fatal: "):
        machine.run(git={"url": absent})
    assert [said.partition(":")[2].count("try") for said in machine.said] == [1, 1]
    repository.commit(flows_py="one")
    with pytest.raises(PullError, match="it has no branch or tag 'other'"):
        machine.run(git={"url": str(repository.at), "ref": "other"})
    with pytest.raises(PullError, match="it has no commit 0000"):
        machine.run(git={"url": str(repository.at), "commit": "0" * 40})
    with pytest.raises(PullError, match="has no directory 'absent'"):
        machine.run(git={"url": str(repository.at), "directory": "absent"})
    Repository(repository.at.parent / "empty")
    with pytest.raises(PullError, match="fetched"):
        machine.run(git={"url": str(repository.at.parent / "empty")})


def test_a_repository_cannot_have_a_run_do_something(repository: Repository, machine: Machine) -> None:
    """Hooks, and programs that a repository's own settings name, stay where they are."""
    mark = repository.at.parent / "mark"
    commit = repository.commit(flows_py="one")
    for name in ("post-checkout", "post-index-change"):
        hook = repository.at / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    machine.run(git={"url": str(repository.at), "commit": commit})
    assert not mark.exists()


def test_submodules_are_fetched_at_their_commits(
    repository: Repository, machine: Machine, tmp_path: Path
) -> None:
    innermost, inner = Repository(tmp_path / "innermost"), Repository(tmp_path / "inner")
    innermost.commit(deep_py="pinned")
    git(inner.at, *LOCAL, "submodule", "--quiet", "add", "../innermost", "below")
    inner.commit(inner_py="inner")
    git(repository.at, *LOCAL, "submodule", "--quiet", "add", f"file://{inner.at}", "libs/inner")
    commit = repository.commit(flows_py="one")
    innermost.commit(deep_py="later")
    step = {"url": str(repository.at), "commit": commit}
    found = machine.run(git={**step, "submodules": True})
    files = ("flows.py", "libs/inner/inner.py", "libs/inner/below/deep.py")
    assert [(found.directory / name).read_text() for name in files] == ["one", "inner", "pinned"]
    assert not list(found.directory.parent.rglob("*.index"))
    assert len(machine.said) == 1
    bare = machine.run(git=step)
    assert not list((bare.directory / "libs/inner").iterdir())
    assert "submodules: true" in machine.said[-1]
    inner.at.rename(tmp_path / "gone")  # known commits are in the cache
    assert (machine.run(git={**step, "submodules": True}).directory / files[2]).read_text() == "pinned"


def test_what_is_wrong_with_a_submodule_is_told_with_its_name(
    repository: Repository, machine: Machine, tmp_path: Path
) -> None:
    Repository(tmp_path / "inner").commit(inner_py="inner")
    git(repository.at, *LOCAL, "submodule", "--quiet", "add", "../inner", "inner")
    url = str(repository.at)
    git(
        repository.at,
        "config",
        "--file",
        ".gitmodules",
        "submodule.inner.url",
        "https://me:pass@example.org/r",
    )
    repository.commit()
    with pytest.raises(PullError, match=r"of its submodules: git: a password in 'url'"):
        machine.run(git={"url": url, "submodules": True})
    git(repository.at, "rm", "--quiet", "-f", "--cached", ".gitmodules")
    git(repository.at, "commit", "--quiet", "-m", "x")
    with pytest.raises(PullError, match=r"\.gitmodules does not say where the submodule 'inner' is"):
        machine.run(git={"url": url, "submodules": True})
    git(repository.at, "config", "--file", ".gitmodules", "submodule.inner.url", str(repository.at))
    repository.commit()
    with pytest.raises(PullError, match=r"its submodule 'inner' \(/.*origin\): it has no commit"):
        machine.run(git={"url": url, "submodules": True})


@pytest.mark.parametrize(
    ("parent", "said", "url"),
    [
        ("https://example.org/a/b.git", "../c.git", "https://example.org/a/c.git"),
        ("https://example.org/a/b/", "../../x/c", "https://example.org/x/c"),
        ("https://example.org/a", "./../c", "https://example.org/c"),
        ("git@example.org:a/b.git", "../c", "git@example.org:a/c"),
        ("git@example.org:b", "../c", "git@example.org:c"),
        ("file:///a/b", "../c", "file:///a/c"),
        ("/a/b", "/c", "/c"),
        ("https://example.org/a", "/etc", None),
        ("https://example.org/a", "file:///etc", None),
        ("https://example.org/a", "../../../../../../etc", None),
        ("https://example.org/a", "ext::sh -c x", None),
        ("https://example.org/a", "--upload-pack=x", None),
    ],
)
def test_a_submodule_is_found_from_its_repository(parent: str, said: str, url: str | None) -> None:
    if url is not None:
        assert submodule_url(parent, said) == url
        return
    with pytest.raises(InvalidInputError):
        submodule_url(parent, said)


def test_pointers_of_git_lfs_are_told(repository: Repository, machine: Machine, monkeypatch: Any) -> None:
    bare = repository.at.parent / "bin"  # a machine without git-lfs
    bare.mkdir()
    (bare / "git").symlink_to(shutil.which("git") or "")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 7\n"
    (repository.at / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (repository.at / "model.bin").write_text(pointer)
    repository.commit(flows_py="one")
    monkeypatch.setenv("PATH", str(bare))
    machine.run(git={"url": str(repository.at)})
    assert machine.said[-1] == (
        "Pointers of Git LFS stand in the place of content: model.bin. Install git-lfs where runs start."
    )


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="there is no git-lfs")
def test_content_of_git_lfs_is_fetched(
    repository: Repository, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where nobody has said "git lfs install"
    git(repository.at, "lfs", "install", "--local")
    git(repository.at, "lfs", "track", "*.bin")
    (repository.at / "model.bin").write_bytes(b"weights")
    repository.commit(flows_py="one")
    found = machine.run(git={"url": f"file://{repository.at}"})
    assert (found.directory / "model.bin").read_bytes() == b"weights"


ATTACKS = [
    {"url": "--upload-pack=touch x"},
    {"url": "-u./x"},
    {"url": "ext::sh -c touch% x"},
    {"url": "ssh://-oProxyCommand=x/y"},
    {"url": "git@-oProxyCommand=x:y"},
    {"url": "http://example.org/r.git"},
    {"url": "https://example.org/r.git\n--upload-pack=x"},
    {"url": "https://me:secret@example.org/r.git"},
    {"url": "../relative"},
    {"url": "fd::17"},
    {"url": "/r", "ref": "--upload-pack=x"},
    {"url": "/r", "ref": "a..b"},
    {"url": "/r", "ref": "main:refs/heads/x"},
    {"url": "/r", "ref": "main -x"},
    {"url": "/r", "ref": "@{-1}"},
    {"url": "/r", "commit": "--output=x"},
    {"url": "/r", "commit": "abc1234"},
    {"url": "/r", "commit": "0" * 40 + "\n"},
    {"url": "/r", "directory": "../.."},
    {"url": "/r", "directory": "/etc"},
    {"url": "/r", "ref": "a", "commit": "0" * 40},
    {"url": "/r", "depth": 1},
    {"url": "/r", "submodules": "--jobs"},
]


@pytest.mark.parametrize("step", ATTACKS, ids=repr)
def test_what_git_could_misread_is_refused(step: dict[str, Any], machine: Machine) -> None:
    with pytest.raises(InvalidInputError):
        read_step({"git": step})
    with pytest.raises(PullError, match="cannot be fetched"):
        machine.pull([{"reeve.git": step}])


def test_steps_of_another_engine_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"prefect\.deployments\.steps\.git_clone"):
        kept_step({"prefect.deployments.steps.git_clone": {"repository": "x"}})


@given(st.text())
def test_no_text_becomes_an_option_or_a_protocol(text: str) -> None:
    for check in (check_url, check_ref, check_inside):
        try:
            check(text)
        except InvalidInputError:
            continue
        assert text.isprintable()
        if check is check_inside:
            assert not os.path.relpath(text or ".", ".").startswith("..")
        else:
            assert not text.startswith("-")
            assert "::" not in text or text.partition("::")[0] not in {"ext", "fd"}
            assert (
                "://" not in text or text.partition("://")[0] in GIT_SCHEMES or text[0] == "/" or "@" in text
            )


# --- archives


def archive(**members: str) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, text in members.items():
            opened.writestr(name, text)
    made.seek(0)
    return made


def test_an_archive_is_unpacked_and_its_content_is_its_version(tmp_path: Path, machine: Machine) -> None:
    file = tmp_path / "code.zip"
    file.write_bytes(archive(**{"src/flows.py": "one"}).getvalue())
    found = machine.run(zip={"url": str(file), "directory": "src"})
    assert (found.directory / "flows.py").read_text() == "one"
    assert found.version is not None
    digest = found.version.removeprefix("sha256:")
    same = machine.run(zip={"url": f"file://{file}", "sha256": digest})
    assert same.version == found.version
    with pytest.raises(PullError, match="is not what was deployed"):
        machine.run(zip={"url": str(file), "sha256": "0" * 64})


@pytest.mark.parametrize("url", ["relative.zip", "simplecache::s3://x", "https://me:pw@x/y.zip", "-x", "a b"])
def test_an_archive_is_one_file(url: str) -> None:
    with pytest.raises(InvalidInputError):
        read_step({"zip": {"url": url}})


def test_a_library_that_is_missing_is_named(machine: Machine) -> None:
    with pytest.raises(PullError, match="s3fs"):
        machine.run(zip={"url": "s3://bucket/code.zip"})


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "..\\x", "c:/x"])
def test_an_archive_cannot_write_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(PullError, match="leads out of the archive"):
        extract(archive(**{"good.py": "", name: "bad"}), tmp_path / "into")
    assert [*tmp_path.rglob("*")] == []


def test_an_archive_has_no_links(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
    made.seek(0)
    with pytest.raises(PullError, match="is a link"):
        extract(made, tmp_path / "into")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "LARGEST_BYTES", 1000)
    with pytest.raises(PullError, match="too large"):
        extract(archive(big="x" * 1001), tmp_path / "into")
    with pytest.raises(PullError, match="no zip file"):
        extract(io.BytesIO(b"nothing"), tmp_path / "other")


# --- which code it is


def test_the_version_is_the_commit_and_says_what_was_changed(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit(flows_py="one")
    file = repository.at / "flows.py"
    assert code_version(file, repository.at) == commit
    file.write_text("two")
    assert code_version(file, repository.at) == f"{commit}+changed"
    plain = tmp_path / "plain"
    plain.mkdir()
    alone = plain / "flows.py"
    alone.write_text("one")
    before = code_version(alone, plain)
    assert before.startswith("sha256:")
    (plain / "helper.py").write_text("")
    assert code_version(alone, plain) != before
