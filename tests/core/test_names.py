"""Names of things, and the names given to runs."""

from __future__ import annotations

import random

import pytest

from reeve.core.names import check_name, slug
from reeve.errors import InvalidInputError


@pytest.mark.parametrize("character", ["/", "%", "&", ">", "<"])
def test_a_forbidden_character_is_named(character: str) -> None:
    name = f"a{character}b"
    with pytest.raises(InvalidInputError) as raised:
        check_name("work pool", name)
    assert raised.value.message == f'work pool name "{name}" contains "{character}"; leave out / % & > <'
    assert raised.value.field == "name"


@pytest.mark.parametrize("name", ["my flow", "what?", "#1", "größe", "a-b_c.d", "🚀", "a|b\\c"])
def test_all_other_characters_are_allowed(name: str) -> None:
    check_name("flow", name)


def test_a_slug_is_two_plain_words_of_the_dice() -> None:
    assert slug(lambda _: 0) == "agile-acorn"
    assert slug(lambda sides: sides - 1) == "witty-wren"


def test_slugs_are_many_and_allowed() -> None:
    slugs = {slug(random.Random(seed).randrange) for seed in range(5000)}
    assert len(slugs) > 3500  # of 10,000 possible, 3,900 are to be expected
    for name in slugs:
        check_name("flow run", name)
        adjective, _, noun = name.partition("-")
        assert adjective.isalpha()
        assert noun.isalpha()
        assert name.islower()


def test_every_word_can_come() -> None:
    sides: list[int] = []

    def rolled(number: int) -> str:
        def dice(count: int) -> int:
            sides.append(count)
            return min(number, count - 1)

        return slug(dice)

    rolls = [rolled(number).split("-") for number in range(500)]
    adjectives, nouns = ({roll[place] for roll in rolls} for place in (0, 1))
    assert [len(adjectives), len(nouns)] == sides[:2]
    assert min(sides) >= 100
