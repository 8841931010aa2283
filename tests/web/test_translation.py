"""Every sentence of the console passes the one function that another language needs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from jinja2 import nodes

from otpost.web import translation
from otpost.web.templating import FOLDER, environment

NAMES = {"Otpost", "SID", "UTC", "ms"}
"""Words that are the same in every language."""
READ = re.compile(
    r'\b(?:aria-label|data-label|data-confirm|data-say|data-copied|data-not-copied|placeholder|title|alt)="([^"]*)"'
)
EXAMPLE = re.compile(r"<pre.*?</pre>", re.DOTALL)
MODULES = sorted(Path(translation.__file__).parent.rglob("*.py"))


def plain_words(template: str) -> list[str]:
    """The words of a template that do not pass the function: its text, and the attributes that people read."""
    tree = environment().parse((FOLDER / template).read_text())
    html = "".join(data.data for data in tree.find_all(nodes.TemplateData))
    html = EXAMPLE.sub("", html)
    text = " ".join([re.sub(r'<[^>]*>|[a-z-]+="[^"]*"', " ", html), *READ.findall(html)])
    return [word for word in re.findall(r"[A-Za-z]{2,}", text) if word not in NAMES]


@pytest.mark.parametrize("template", [name for name in environment().list_templates() if name != "icons.html"])
def test_no_template_has_words_of_its_own(template: str):
    assert plain_words(template) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_sentence_with_values_is_a_literal_that_a_catalogue_can_hold(module: Path):
    calls = [
        node
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "N_", "ngettext")
    ]
    assert [ast.unparse(call) for call in calls if isinstance(call.args[0], ast.JoinedStr | ast.BinOp)] == []


def test_what_varies_in_a_sentence_stands_where_the_language_puts_it():
    assert translation._("Revision %(number)s of %(user)s", number=7, user="ada") == "Revision 7 of ada"
    assert translation._("100 % of them") == "100 % of them"
    assert translation.ngettext("%(number)s day", "%(number)s days", 1, number=1) == "1 day"
    assert translation.ngettext("%(number)s day", "%(number)s days", 2, number=2) == "2 days"


def test_a_value_in_a_translated_sentence_never_becomes_markup():
    template = environment().from_string("{{ _('for %(name)s', name=name) }}{% trans %}, {{ name }}{% endtrans %}")
    assert template.render(name="<b>") == "for &lt;b&gt;, &lt;b&gt;"
