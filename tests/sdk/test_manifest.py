"""``reeve.yaml``: what it says becomes deployments; what is wrong is told with key, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeve.core.crashes import CrashReason
from reeve.core.schedule_policies import Catchup, Overlap
from reeve.core.time_limits import Then, TimeLimit
from reeve.sdk.load import FlowNotFoundError, load_flow
from reeve.sdk.manifest import Manifest, ManifestError

FLOWS = """
from reeve import flow

@flow
def nightly(region: str = "eu", n: int = 1) -> int:
    return n

@flow
def weekly() -> None: ...
"""

WHOLE = """
deployments:
  - name: prod
    entrypoint: flows.py:nightly
    description: Every night.
    version: "7"
    tags: [a, b]
    parameters: {n: 3, day: 2026-01-31}
    pool: big
    queue: slow
    paused: true
    schedules:
      - cron: "0 3 * * *"
        timezone: Europe/Zurich
        parameters: {region: us}
        catchup: last
        max_late: 2h
        overlap: cancel_running
      - interval: 90s
        anchor: 2026-01-01T00:00:00+00:00
        active: false
      - rrule: FREQ=DAILY
      - once: 2027-01-01T08:30
        timezone: Asia/Tokyo
    max_run: 1h:cancel
    max_pending: 5m
    must_start_by: 1d
    crash_retries: 2
    crash_retry_delay: 30s
    crash_retry_on: [signal]
    concurrency_limit: "${LIMIT}"
    job_variables: {env: {WHERE: "${HERE}/x", KEPT: "$${HERE}"}}
    pull:
      - git: {url: "https://example.org/r.git", ref: main}
  - {name: prod, entrypoint: "flows.py:weekly"}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "flows.py").write_text(FLOWS)
    return tmp_path


def manifest(directory: Path, text: str, **environ: str) -> Manifest:
    file = directory / "reeve.yaml"
    file.write_text(text)
    return Manifest.of_file(file, environ, load_flow)


def test_everything_that_can_be_said_is_read(directory: Path) -> None:
    found = manifest(directory, WHOLE, LIMIT="4", HERE="/srv")
    spec, other = found.specs()
    assert (spec.full_name, other.full_name) == ("nightly/prod", "weekly/prod")
    assert (spec.pool, spec.queue, spec.version, spec.tags, spec.paused) == (
        "big",
        "slow",
        "7",
        ["a", "b"],
        True,
    )
    assert spec.parameters == {"n": 3, "day": "2026-01-31"}
    assert spec.job_variables == {"env": {"WHERE": "/srv/x", "KEPT": "${HERE}"}}
    assert (spec.path, spec.entrypoint) == (directory, "flows.py:nightly")
    assert spec.pull_steps == [{"reeve.git": {"url": "https://example.org/r.git", "ref": "main"}}]
    assert spec.limits.max_run == TimeLimit(seconds=3600, then=Then.CANCEL)
    assert spec.limits.max_pending == TimeLimit(seconds=300)
    assert spec.concurrency_limit == 4
    assert (spec.crash_retries, spec.crash_retry_delay) == (2, 30)
    assert spec.crash_retry_on == [CrashReason.SIGNAL]
    cron, interval, rrule, once = spec.schedules
    assert cron.rule == {"cron": "0 3 * * *", "timezone": "Europe/Zurich"}
    assert (cron.policy.catchup, cron.policy.max_late) == (Catchup.LAST, 7200)
    assert (cron.policy.overlap, cron.policy.parameters) == (Overlap.CANCEL_RUNNING, {"region": "us"})
    assert (interval.rule["interval"], interval.active) == (90, False)
    assert interval.rule["anchor_date"].startswith("2026-01-01")
    assert rrule.policy.is_plain
    assert once.rule["rrule"] == "DTSTART:20270101T083000\nRRULE:FREQ=DAILY;COUNT=1"


def test_one_is_chosen_by_name_or_with_its_flow(directory: Path) -> None:
    found = manifest(directory, WHOLE, LIMIT="4", HERE="/srv")
    assert len(found.specs("prod")) == 2
    assert [spec.flow.name for spec in found.specs("weekly/prod")] == ["weekly"]
    with pytest.raises(ManifestError, match="no deployment 'porod'; did you mean 'prod'"):
        found.specs("porod")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("    tags:", "    tagz:"),
            "reeve.yaml:7: deployments[0].tagz: a deployment has no key 'tagz'; did you",
        ),
        (
            ("- cron:", "- corn:"),
            "reeve.yaml:13: deployments[0].schedules[0].corn: a schedule has no key 'corn'",
        ),
        (("0 3 *", "0 33 *"), 'reeve.yaml:13: deployments[0].schedules[0].cron: "0 33 * * *" is not a cron'),
        (("- git:", "- gitt:"), "a pull step has no key 'gitt'; did you mean 'git'"),
        (
            ("ref: main", "ref: --upload-pack=x"),
            "deployments[0].pull[0]: git: '--upload-pack=x'",
        ),
        (
            ("${LIMIT}", "${LIMITT}"),
            "deployments[0].concurrency_limit: the environment variable",
        ),
        (("1h:cancel", "1h:stop"), "'stop' does not say what follows"),
        (("5m", "5 minutes"), "'5 minutes' is no length of time; write 30s"),
        (("catchup: last", "catchup: lats"), "'lats' is not known; did you mean 'last'?"),
        (("2027-01-01T08:30", "soon"), "'soon' is no moment"),
        (("- rrule:", "- rrule: FREQ=DAILY\n        cron:"), "exactly one of cron, interval, rrule, once"),
        (
            ("crash_retries: 2", "crash_retries: many"),
            "deployments[0].crash_retries: expected int",
        ),
        (
            ("    paused: true", "    name: twice"),
            "reeve.yaml:11: deployments[0].name: the key is there twice",
        ),
        (("flows.py:weekly", "flows.py:nightly"), "the deployment 'prod' is there twice"),
        (("tags: [a, b]", "tags: [a, b"), "this is no YAML"),
        (("deployments:", "deployment:"), "the file has no key 'deployment'; did you mean 'deployments'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(directory: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in WHOLE
    with pytest.raises(ManifestError) as refused:
        manifest(directory, WHOLE.replace(*change, 1), LIMIT="4", HERE="/srv").specs()
    assert says in refused.value.message


def test_a_flow_that_is_not_there_is_told_as_ever(directory: Path) -> None:
    with pytest.raises(FlowNotFoundError, match="Its flows: nightly, weekly"):
        manifest(directory, "deployments: [{name: x, entrypoint: 'flows.py:nothing'}]").specs()


@pytest.mark.parametrize("text", ["", "deployments: []", "deployments: 3", "- a"])
def test_a_file_without_deployments_says_what_to_do(directory: Path, text: str) -> None:
    with pytest.raises(ManifestError, match=r"reeve init|must be a mapping"):
        manifest(directory, text)
    with pytest.raises(ManifestError, match="reeve init"):
        Manifest.of_file(directory / "absent.yaml", {}, load_flow)
