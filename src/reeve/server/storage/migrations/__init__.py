"""Numbered schema changes, applied in order, each in one transaction and recorded with its checksum."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from reeve.errors import ReeveError

# Read by both dialects before the first migration; the types are common to both.
VERSIONS_TABLE = """
create table if not exists schema_version (n bigint primary key, sha256 text not null, at bigint not null)
"""


class SchemaError(ReeveError):
    """The database's schema does not fit this version of reeve."""

    code = "schema"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step; ``sql`` still has the placeholders of the types that differ by database."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The checksum that shows whether an applied step was changed afterwards."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self, types: dict[str, str]) -> list[str]:
        """Return the statements with the types of one database; each ends with ``;`` at a line's end."""
        text = self.sql
        for placeholder, type_ in types.items():
            text = text.replace("{" + placeholder + "}", type_)
        return [part for part in text.split(";\n") if part.strip()]


def all_migrations() -> list[Migration]:
    """Return every step that ships with this version, by number."""
    found = [
        Migration(int(entry.name[:4]), entry.name[5:-4], entry.read_text("utf-8"))
        for entry in files(__name__).iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found, key=lambda step: step.number)


def outstanding(applied: dict[int, str]) -> list[Migration]:
    """Return the steps still to apply, given number and checksum of those that were.

    Raises SchemaError if the database is newer than this version, or an applied step was changed.
    """
    known = {step.number: step for step in all_migrations()}
    for number, checksum in applied.items():
        if number not in known:
            raise SchemaError(
                f"The database has schema version {number}; this reeve knows {max(known)}. "
                "Use the newer reeve that wrote it."
            )
        if known[number].sha256 != checksum:
            raise SchemaError(f"Migration {number} was changed after it had been applied to this database.")
    return [step for number, step in sorted(known.items()) if number not in applied]
