"""Whether a template hangs together."""

from __future__ import annotations

import pytest

from reeve.core.templates import Flaw, flaw


@pytest.mark.parametrize(
    "template",
    [
        "",
        "plain } text {",
        "{{ flow.name | upper }}",
        "{# a comment {{ #}",
        "{% for f in flows %}{% if f %}{{ f }}{% elif g %}x{% else %}y{% endif %}{% else %}none{% endfor %}",
        "{%- if a -%}b{%- endif -%}",
        "{% set a = 1 %}{{ a }}",
        "{% set a %}text{% endset %}",
        "{% raw %}{{ {% if {% endraw %}",
    ],
)
def test_templates_that_hang_together(template: str) -> None:
    assert flaw(template) is None


@pytest.mark.parametrize(
    ("template", "line", "word"),
    [
        ("a\nb {{ c", 2, "{{"),
        ("{% if a", 1, "{%"),
        ("{# text", 1, "{#"),
        ("{{ }}", 1, "expression"),
        ("{% %}", 1, "name of a tag"),
        ("{% if a %}\n{% for b in c %}\n{% endif %}", 3, "'endif'"),
        ("\n{% for a in b %}", 2, "'for'"),
        ("{% endif %}", 1, "'endif'"),
        ("{% else %}", 1, "'else'"),
        ("{% for a in b %}{% elif c %}{% endfor %}", 1, "'elif'"),
        ("{% raw %}{{", 1, "'raw'"),
    ],
)
def test_templates_that_do_not(template: str, line: int, word: str) -> None:
    found = flaw(template)
    assert isinstance(found, Flaw)
    assert found.line == line
    assert word in found.message
