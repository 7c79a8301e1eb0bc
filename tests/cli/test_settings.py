"""Settings: which value is in force, where it came from, and what is said of a bad one."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import asdict

from reeve.core.attempts import LeaseTerms
from reeve.drivers.base import OUTPUT_QUOTA
from reeve.errors import InvalidInputError, ReeveError
from reeve.settings import Origin, Source, gather, home_key, load, make_home_key, masked_url, sentence, shown


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    return {"REEVE_HOME": str(home)}


def write(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text(text)


def test_everything_has_a_default(env: dict[str, str], home: Path) -> None:
    settings = load(env)
    assert settings.home == home
    assert settings.api_url == "http://127.0.0.1:4200/api"
    assert settings.api_key is None
    assert settings.database_url == f"sqlite:///{home}/reeve.db"
    assert (settings.retention_runs_days, settings.retention_logs_days) == (90, 30)


def test_the_home_is_the_users_unless_named() -> None:
    assert load({}).home == Path("~/.reeve").expanduser()
    assert load({"REEVE_HOME": "~/x"}).home == Path("~/x").expanduser()
    assert load({"REEVE_HOME": "x"}).home == Path.cwd() / "x"


def test_the_lease_is_that_of_the_core(env: dict[str, str]) -> None:
    settings, terms = load(env), LeaseTerms()
    assert (
        LeaseTerms(
            lease=settings.lease_seconds,
            renew_every=settings.renew_seconds,
            margin=settings.lease_margin_seconds,
            grace=settings.lease_grace_seconds,
            lost_after=settings.lost_after_seconds,
            launch_tries=settings.launch_tries,
        )
        == terms
    )


def test_the_quota_of_output_is_that_of_drivers(env: dict[str, str]) -> None:
    assert load(env).output_quota == OUTPUT_QUOTA


def test_what_follows_from_a_lease_follows_it(env: dict[str, str]) -> None:
    settings = load({**env, "REEVE_LEASE_SECONDS": "2"})
    assert (settings.renew_seconds, settings.lease_margin_seconds) == (0.5, 0.2)


def test_each_layer_overrules_the_one_before(env: dict[str, str], home: Path) -> None:
    def port(environ: dict[str, str], option: int | None = None) -> tuple[int, Origin]:
        loaded = gather(environ, {"server_port": option})
        return loaded.settings.server_port, loaded.origins["server_port"]

    assert port(env) == (4200, Origin(Source.DEFAULT))
    write(home, "# mine\nlog_level = 'ERROR'\nserver_port = 4201\n")
    assert port(env) == (4201, Origin(Source.FILE, f"{home}/settings.toml, line 3"))
    env["REEVE_SERVER_PORT"] = "4202"
    assert port(env) == (4202, Origin(Source.ENVIRONMENT, "REEVE_SERVER_PORT"))
    assert port(env, 4203) == (4203, Origin(Source.OPTION, "--port"))


def test_clients_find_the_server_of_the_same_settings(env: dict[str, str]) -> None:
    def url(**values: str) -> str:
        return load({**env, **values}).api_url

    assert url(REEVE_SERVER_PORT="4300") == "http://127.0.0.1:4300/api"
    assert url(REEVE_SERVER_HOST="0.0.0.0") == "http://127.0.0.1:4200/api"
    assert url(REEVE_SERVER_HOST="::1") == "http://[::1]:4200/api"
    assert url(REEVE_SERVER_PORT="4300", REEVE_API_URL="https://far/api") == "https://far/api"


def test_an_empty_variable_is_not_set(env: dict[str, str]) -> None:
    assert load({**env, "REEVE_SERVER_PORT": "", "REEVE_API_KEY": ""}) == load(env)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REEVE_SERVER_PORT", "http"),
        ("REEVE_SERVER_PORT", "70000"),
        ("REEVE_API_URL", "localhost:4200"),
        ("REEVE_DATABASE_URL", "mysql://db/reeve"),
        ("REEVE_LEASE_SECONDS", "0"),
        ("REEVE_LEASE_SECONDS", "nan"),
        ("REEVE_LAUNCH_TRIES", "1.5"),
        ("REEVE_RETENTION_RUNS_DAYS", "-1"),
        ("REEVE_DRAIN_TIMEOUT", "soon"),
        ("REEVE_SPOOL_LIMIT", "0"),
        ("REEVE_SPOOL_LIMIT", "1000"),
        ("REEVE_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_variable_is_named_with_what_it_must_be(env: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{name} must be .+, not '{value}'$") as caught:
        load({**env, name: value})
    assert caught.value.field == name


def test_a_bad_line_of_the_file_is_named(env: dict[str, str], home: Path) -> None:
    write(home, "\n# the port\nserver_port = 'x'\n")
    with pytest.raises(InvalidInputError, match=r"settings\.toml, line 3 must be a port from 1 to 65535"):
        load(env)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sever_port = 1", "Did you mean 'server_port'"),
        ("colour = 'red'", "reeve config show"),
        ("[server]\nport = 1", "Did you mean"),
        ("home = '/tmp'", "Use REEVE_HOME"),
    ],
)
def test_an_unknown_key_of_the_file_is_named(env: dict[str, str], home: Path, text: str, hint: str) -> None:
    write(home, text)
    with pytest.raises(InvalidInputError, match=r"settings\.toml, line 1: ") as caught:
        load(env)
    assert hint in caught.value.message


def test_a_file_that_is_no_toml_says_where(env: dict[str, str], home: Path) -> None:
    write(home, "server_port: 1")
    with pytest.raises(InvalidInputError, match=r"settings\.toml is not TOML: .*line 1"):
        load(env)


def test_a_lease_that_would_end_by_itself_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="REEVE_RENEW_SECONDS must be below lease_seconds"):
        load({**env, "REEVE_RENEW_SECONDS": "18"})


def test_a_key_is_made_once(home: Path) -> None:
    assert home_key(home) is None
    key = make_home_key(home)
    assert len(key) >= 43, "256 bits in base64"
    assert make_home_key(home) == home_key(home) == key
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [path.name for path in home.iterdir()] == ["key"], "no draft is left"


def test_who_makes_a_key_at_once_gets_the_same(home: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(make_home_key, [home] * 8))
    assert keys == {home_key(home)}
    assert [path.name for path in home.iterdir()] == ["key"]


def test_keys_differ(tmp_path: Path) -> None:
    assert make_home_key(tmp_path / "a") != make_home_key(tmp_path / "b")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    make_home_key(home)
    (home / "key").chmod(mode)
    with pytest.raises(ReeveError, match="chmod 600"):
        home_key(home)


def test_an_empty_key_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "key").touch(0o600)
    with pytest.raises(ReeveError, match="is empty"):
        home_key(home)


def test_the_homes_key_is_taken_on_this_machine(env: dict[str, str], home: Path) -> None:
    key = make_home_key(home)
    loaded = gather(env)
    assert loaded.settings.api_key == key
    assert loaded.origins["api_key"] == Origin(Source.KEY_FILE, str(home / "key"))
    assert load({**env, "REEVE_API_KEY": "other"}).api_key == "other"


@pytest.mark.parametrize(
    "url", ["https://far.example/api", "http://127.0.0.1.evil.example/api", "http://10.0.0.1/api"]
)
def test_the_homes_key_is_not_given_away(env: dict[str, str], home: Path, url: str) -> None:
    make_home_key(home)
    assert load({**env, "REEVE_API_URL": url}).api_key is None


def test_every_setting_says_what_it_is_for(env: dict[str, str]) -> None:
    for name in asdict(load(env)):
        assert sentence(name).endswith("."), name


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://u:secret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:s@cr:et@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:a/b@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?password=secret&x=1", "postgresql://u@h/d?password=***&x=1"),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
    ],
)
def test_passwords_are_not_shown(url: str, masked: str) -> None:
    assert masked_url(url) == masked
    assert shown("database_url", url) == masked


def test_keys_are_not_shown() -> None:
    assert shown("api_key", "k") == "***"
    assert shown("api_key", None) == ""
