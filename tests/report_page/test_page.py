"""The page in a browser: nothing runs or is loaded, it fits a phone, it is accessible, and paper has all of it."""

import asyncio
import base64
import contextlib
import pathlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from hostnetwork_operator.cli import report
from hostnetwork_operator.decide import exhibits
from tests.report_page import browser, samples
from tests.unit.cli import test_report

# Each in every place where a text of the cluster can stand.
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</pre></details></style><img src=x onerror=alert(1)>",
    "</title><svg onload=alert(1)>",
    "\"><img src='https://evil.example/x' onerror='alert(1)'>",
    "' onmouseover='alert(1)' style='position:fixed;inset:0' x='",
    "javascript:alert(1)",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href=https://evil.example/><form action=/x><input name=a>",
    "<a href=javascript:alert(1)>x</a><math><mtext><mglyph><style><img src=x onerror=alert(1)>",
    "--><!--<script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#x3c;script>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "\u202e\u2066drowssap\u2069 \u200b\ufeff\x1b[2J\x1b]0;owned\x07\x00\x9b31m",
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "@import url(https://evil.example/x.css); } * { display:none }",
    "\ud800 half a character",
    "Wide" * 2_500,
    "ل" * 500,
)  # fmt: skip
PAGES: dict[str, Callable[[], exhibits.AuditEvidence]] = {
    "none": samples.nothing,
    "thirty": lambda: samples.many(30, 7),
    "many": lambda: samples.many(3000, 60),
    "unseen": samples.unseen,
    "archive": lambda: samples.many(30, 7),
    "hostile": lambda: samples.hostile(HOSTILE),
}
Look = Callable[[browser.Page], Awaitable[Any]]


def test_every_form_of_3000_workloads_has_the_same_counts() -> None:
    """Without a browser. tests/unit/cli/test_report.py counts smaller reports."""
    assert len(test_report.found("many").workloads) > 3000
    test_report.assert_same_counts("many")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The pages as files."""
    path = tmp_path_factory.mktemp("pages")
    for name, made in PAGES.items():
        found = made()
        history = samples.history() if name == "archive" else None
        text = report.render("html", found, exhibits.canonical(found), history)
        (path / f"{name}.html").write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, aiohttp.ClientSession]]:
    """A browser for all tests of this file."""
    try:
        path = browser.find_or_install()
    except browser.UnavailableError as error:
        pytest.skip(str(error))
    with asyncio.Runner() as loop, contextlib.ExitStack() as stack:
        running = browser.browser(path, tmp_path_factory.mktemp("profile"))
        session = loop.run(running.__aenter__())
        stack.callback(lambda: loop.run(running.__aexit__(None, None, None)))
        yield loop, session


@pytest.fixture
def see(runner: tuple[asyncio.Runner, aiohttp.ClientSession], directory: pathlib.Path) -> Callable[..., Any]:
    """Return what a function sees of a page."""
    loop, session = runner

    async def look(name: str, seen: Look, **view: Any) -> Any:
        async with browser.tab(session) as page:
            return await seen(await page.open(directory / f"{name}.html", **view))

    return lambda name, seen, **view: loop.run(look(name, seen, **view))


@pytest.mark.parametrize("name", ["none", "thirty", "hostile"])
def test_nothing_runs_and_nothing_is_loaded(see: Callable[..., Any], name: str) -> None:
    """No script, no dialog, no request but for the file, no link out of the page, and no error of the policy."""

    async def seen(page: browser.Page) -> None:
        # A pointer over everything, and every group opened, so that handlers would run.
        await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        await page.evaluate(
            "document.querySelectorAll('*').forEach(each => each.dispatchEvent(new Event('mouseover')))"
        )
        inside = await page.evaluate(
            """({
              scripts: document.scripts.length,
              frames: document.querySelectorAll('iframe,object,embed,form,input,base,img,link,math').length,
              handlers: [...document.querySelectorAll('*')].filter(
                each => each.getAttributeNames().some(name => name.startsWith('on') || name === 'style')).length,
              links: [...document.querySelectorAll('[href],[src],[action]')].filter(
                each => !(each.getAttribute('href') || '').startsWith('#')).length,
              sections: document.querySelectorAll('main > section').length,
              styled: getComputedStyle(document.querySelector('.cards')).display,
              policies: document.querySelectorAll('meta[http-equiv]').length,
            })"""
        )
        assert inside == {
            "scripts": 0, "frames": 0, "handlers": 0, "links": 0, "sections": 16, "styled": "grid", "policies": 1,
        }  # fmt: skip
        assert page.told("Page.javascriptDialogOpening", "Runtime.exceptionThrown", "Log.entryAdded") == []
        requests = [each["request"]["url"] for each in page.told("Network.requestWillBeSent")]
        assert [url.rpartition("/")[2] for url in requests] == [f"{name}.html"]

    see(name, seen)


def test_a_text_is_shown_as_it_is(see: Callable[..., Any]) -> None:
    """A tag is text for the reader. Characters that hide or reverse a line are gone."""

    async def seen(page: browser.Page) -> tuple[str, str]:
        body = await page.evaluate("document.querySelector('main').textContent")
        return body, await page.evaluate("document.title")

    body, title = see("hostile", seen)
    assert "<script>alert(1)</script>" in body
    assert "evidence: <script>alert(1)</script>, 2026" in title
    without_evidence = body.partition("Show ")[0]
    assert not {"\u202e", "\u2066", "\x1b", "\u200b", "\x00"} & set(without_evidence)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_the_page_fits_the_screen(see: Callable[..., Any], name: str, width: int) -> None:
    """Nothing is wider than the screen, so a person scrolls only down."""

    async def seen(page: browser.Page) -> int:
        return int(await page.evaluate("document.documentElement.scrollWidth"))

    assert see(name, seen, width=width) <= width


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("thirty", 1280, "light"),
        ("thirty", 390, "dark"),
        ("none", 1280, "dark"),
        ("unseen", 390, "light"),
        ("archive", 1280, "light"),
        ("archive", 390, "dark"),
    ],
)
def test_no_rule_of_axe_is_broken(see: Callable[..., Any], name: str, width: int, scheme: str) -> None:
    """WCAG 2.2 A and AA and the best practices of axe-core, contrast among them."""
    try:
        source = browser.axe()
    except browser.UnavailableError as error:
        pytest.skip(str(error))

    async def seen(page: browser.Page) -> Any:
        await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        await page.evaluate(f"{source}; undefined")
        return await page.evaluate(
            "axe.run().then(found => ({broken: found.violations.map("
            "each => [each.id, each.nodes.slice(0, 3).map(node => node.html.slice(0, 200))]),"
            " held: found.passes.map(each => each.id)}))"
        )

    found = see(name, seen, width=width, scheme=scheme)
    assert found["broken"] == []
    assert {"color-contrast", "document-title", "landmark-one-main", "html-has-lang"} <= set(found["held"])


def test_paper_shows_every_row(see: Callable[..., Any]) -> None:
    """A closed group is open on paper, and the head of a table stands on each page."""

    async def seen(page: browser.Page) -> Any:
        return await page.evaluate(
            """({
              closed: document.querySelectorAll('details:not([open])').length,
              rows: document.querySelectorAll('.list tbody tr').length,
              shown: [...document.querySelectorAll('.list tbody tr')].filter(
                each => each.checkVisibility({contentVisibilityAuto: true}) && each.getBoundingClientRect().height > 0
              ).length,
              head: getComputedStyle(document.querySelector('.list thead')).display,
              evidence: document.querySelector('#evidence').checkVisibility(),
              signature: document.querySelector('.sign-off').checkVisibility(),
            })"""
        )

    found = see("many", seen, media="print")
    assert found["closed"] > 10
    assert found["shown"] == found["rows"] > 3000
    assert (found["head"], found["evidence"], found["signature"]) == ("table-header-group", False, True)


@pytest.mark.parametrize("name", ["none", "thirty"])
def test_paper_has_few_pages(see: Callable[..., Any], name: str) -> None:
    """As many as a person reads: 6 without a workload, 20 with thirty."""

    async def seen(page: browser.Page) -> int:
        answer = await page.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(answer["data"]).count(b"/Type /Page\n")

    assert 0 < see(name, seen, media="print") <= {"none": 8, "thirty": 26}[name]
