"""No text becomes a tag, and no text hides or reverses a line."""

import html.parser
import string

import hypothesis
import hypothesis.strategies
import pytest

from hostnetwork_operator.cli.markup import Markup, element, join, text, verbatim


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(markup: str) -> _Tags:
    parser = _Tags()
    parser.feed(markup)
    parser.close()
    return parser


def test_children_and_attributes_are_harmless() -> None:
    made = element(
        "td", "<b>", element("i", "&"), ["a", Markup("<hr>")], title="\"'<", hidden=True, id=None, open=False
    )
    assert made == '<td title="&quot;&#x27;&lt;" hidden>&lt;b&gt;<i>&amp;</i>a<hr></td>'
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("th", aria_label="a", class_="b") == '<th aria-label="a" class="b"></th>'


def test_what_hides_or_reverses_a_line_is_left_out() -> None:
    assert text("a\u202eb\u2066c\x1b[2J\x00\u200bd\ud800") == "abc[2Jd"
    assert text(" a\n\n\tb ") == " a b "
    assert join([text("naïve"), " 日本 ", text("ملك")]) == "naïve 日本 ملك"


def test_verbatim_text_keeps_its_lines_and_is_ascii() -> None:
    assert verbatim('{\n  "a": "<b>"\n}') == "{\n  &quot;a&quot;: &quot;&lt;b&gt;&quot;\n}"
    with pytest.raises(ValueError, match="ASCII"):
        verbatim("é")


@hypothesis.given(hypothesis.strategies.text(alphabet=string.printable + "\u202e\x00<>&\"'`/", max_size=60))
def test_any_text_stays_one_text_and_one_attribute(value: str) -> None:
    found = parsed(element("p", value, title=value))
    ((tag, attributes),) = found.tags
    assert (tag, set(attributes)) == ("p", {"title"})
    assert "".join(found.texts) == (attributes["title"] or "")
