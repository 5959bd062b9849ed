"""The search page in Chromium, without Ray: rankings, moves, grades by key, permalinks, and what it waits for."""

import hashlib
import shutil

import pytest

from actors.serving.judgements import QRELS
from ranking.collections.qrels import read_qrels
from ranking.evaluation.featured_system import WorseQueries, WorseQuery
from tests.testing.http_service import http_client, kitchen_searcher
from tests.testing.kitchen_collection import QUERIES
from tests.testing.search_page import ADDRESS, opened

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
SIZES = ((1200, "light"), (1200, "dark"), (390, "light"), (390, "dark"))
WORSE = WorseQueries(
    system="rra@bm25",
    baseline="bm25",
    measure="nDCG@10",
    queries=[WorseQuery(query_id="q1", text=QUERIES["q1"], baseline=1.0, system=0.631)],
)
CONTRAST = """() => {
  const parse = color => color.match(/[\\d.]+/g).map(Number);
  const linear = value => value <= 10.31 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const weights = [0.2126, 0.7152, 0.0722];
  const luminance = color => weights.reduce((sum, weight, i) => sum + weight * linear(parse(color)[i]), 0);
  const ground = element => {
    const color = getComputedStyle(element).backgroundColor;
    return parse(color)[3] === 0 ? ground(element.parentElement) : color;
  };
  const ratio = element => {
    const both = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => b - a);
    return (both[0] + 0.05) / (both[1] + 0.05);
  };
  const texts = [...document.body.querySelectorAll("*")].filter(element => element.offsetParent
    && [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim()));
  return texts.map(element => [ratio(element), element.className || element.tagName]).sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def client(tmp_path):
    with http_client(tmp_path, kitchen_searcher(tmp_path, WORSE), traffic={"challenger": "next"}) as client:
        yield client


def names(page, column):
    """Return the document ids of a column, in its order."""
    return page.locator(f".column:nth-of-type({column}) .detail span:first-child").all_text_contents()


def search(page, query):
    page.fill("#query", query)
    page.keyboard.press("Enter")
    page.wait_for_selector("li.result:visible")


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_rankings_are_side_by_side_or_in_tabs(browser, client, tmp_path, width, scheme):
    with opened(browser, client, "?q=heated+oven", width, scheme) as (page, errors):
        page.wait_for_selector("li.result:visible")
        assert page.locator("h2").all_text_contents() == ["first stage", "champion", "challenger"]
        assert [names(page, n) for n in (1, 2, 3)] == [["d2", "d1"], ["d2", "d1"], ["d1", "d2"]]
        assert page.locator(".column:nth-of-type(3) .move").all_text_contents() == ["▲ 1", "▼ 1"]
        assert set(page.locator(".column:nth-of-type(2) mark").all_text_contents()) == {"heated", "oven"}
        assert all(text.endswith(" ms") for text in page.locator(".latency").all_text_contents())
        visible = page.locator(".column:visible")
        assert visible.count() == (1 if width == 390 else 3)
        if width == 390:
            page.click("#tabs button >> nth=2")
            assert visible.get_attribute("aria-label") == "challenger"
        else:
            assert page.locator("path").count() == 4
        page.locator(".column:visible .head").last.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"page-{width}-{scheme}.png")
        assert page.evaluate(CONTRAST)[0] >= 4.5  # WCAG 2.1, level AA
        assert errors == []


def test_grades_are_saved_by_key_and_shown_in_all_rankings(browser, client, tmp_path):
    with opened(browser, client, "?q=bread+yeast") as (page, errors):
        page.wait_for_selector("li.result:visible")
        assert page.locator(".grade:visible").all_text_contents() == ["grade 1"] * 3
        page.locator(".column:nth-of-type(2) .head").first.focus()
        page.keyboard.press("3")
        page.wait_for_selector("text=Grade 3 saved for “d1”.")
        assert page.locator(".grade:visible").all_text_contents() == ["grade 3 ✓"] * 3
        page.keyboard.press("0")
        page.wait_for_selector("text=Grade 0 saved")
        page.keyboard.press("4")
        assert read_qrels(tmp_path / "judgements" / QRELS) == {"q2": {"d1": 0}}
        page.reload()
        page.wait_for_selector("text=grade 0 ✓")
        assert errors == []


def test_buttons_of_an_open_result_save_grades(browser, client, tmp_path):
    with opened(browser, client, "?q=heated+oven", 390) as (page, errors):
        page.click("li.result:visible .head")
        page.click("li.result:visible .judge button >> nth=2")
        page.wait_for_selector("text=Grade 2 saved")
        assert page.get_attribute("li.result:visible .judge button >> nth=2", "aria-pressed") == "true"
        assert list(read_qrels(tmp_path / "judgements" / QRELS).values()) == [{"d2": 2}]
        assert errors == []


def test_a_grade_that_is_not_saved_is_reported_in_words(browser, client, tmp_path):
    (tmp_path / "judgements").write_text("a file where the folder should be")
    with opened(browser, client, "?q=heated+oven") as (page, errors):
        page.wait_for_selector("li.result:visible")
        assert "saved grades cannot be read" in page.inner_text("#status")
        page.locator(".head").first.focus()
        page.keyboard.press("2")
        page.wait_for_selector("#status.error")
        expected = "Grade 2 was not saved for “d2”: the grade was not saved; send it again later"
        assert page.inner_text("#status") == expected
        assert page.locator(".grade:visible").count() == 0
        page.keyboard.press("Enter")
        assert page.inner_text(".state.error:visible") == "not saved"
        assert errors == []


def test_arrow_keys_move_between_results_and_rankings(browser, client):
    focused = "(() => { const item = document.activeElement.closest('li'); return item.dataset.document + ' ' \
        + item.closest('.column').getAttribute('aria-label'); })()"
    with opened(browser, client, "?q=heated+oven") as (page, errors):
        page.wait_for_selector("li.result:visible")
        page.locator(".head").first.focus()
        seen = []
        for key in ("Down", "Down", "Right", "Right", "Right", "Down", "Up", "Left"):
            page.keyboard.press(f"Arrow{key}")
            seen.append(page.evaluate(focused))
        first, champion, challenger = "first stage", "champion", "challenger"
        assert seen[:4] == [f"1 {first}", f"1 {first}", f"1 {champion}", f"1 {challenger}"]
        assert seen[4:] == [f"1 {challenger}", f"0 {challenger}", f"1 {challenger}", f"1 {champion}"]
        assert page.locator("li.lit").count() == 3
        outline = "getComputedStyle(document.activeElement.closest('li')).outlineStyle"
        assert page.evaluate(outline) == "solid"
        assert errors == []


def test_the_address_has_the_query_and_back_and_forward_work(browser, client):
    with opened(browser, client) as (page, errors):
        page.wait_for_selector("#test-queries:not([hidden])")
        search(page, "  heated oven & <gas>  ")
        assert page.url == f"{ADDRESS}?q=heated%20oven%20%26%20%3Cgas%3E"
        page.select_option("#test-queries", "bread yeast")
        page.wait_for_selector("text=1 document.")
        assert page.title() == "bread yeast – rradistill search"
        page.go_back()
        page.wait_for_selector("text=2 documents.")
        assert page.input_value("#query") == "heated oven & <gas>"
        page.go_forward()
        page.wait_for_selector("text=1 document.")
        assert page.input_value("#query") == "bread yeast"
        for _ in range(2):
            page.go_back()
        page.wait_for_selector("#columns", state="hidden")
        assert page.input_value("#query") == ""
        assert errors == []


def test_queries_that_got_worse_are_one_click_away(browser, client):
    with opened(browser, client) as (page, errors):
        page.click("text=1 query got worse")
        assert "nDCG@10 of bm25 → rra@bm25" in page.inner_text("#worse-note")
        assert page.inner_text("#worse a span >> nth=1") == "1.000 → 0.631"
        page.click("#worse a")
        page.wait_for_selector("li.result:visible")
        assert page.input_value("#query") == QUERIES["q1"]
        assert page.locator("#worse:visible").count() == 0
        assert errors == []


def test_without_an_evaluation_there_is_no_list_of_worse_queries(browser, tmp_path):
    with (
        http_client(tmp_path, kitchen_searcher(tmp_path)) as client,
        opened(browser, client, "?q=heated+oven") as (page, errors),
    ):
        page.wait_for_selector("li.result:visible")
        assert page.locator("#show-worse:visible").count() == 0
        assert page.locator("h2").all_text_contents() == ["first stage", "champion"]
        assert errors == []


def test_the_page_asks_for_a_key_and_then_searches(browser, tmp_path):
    (tmp_path / "keys").write_text(f"web {hashlib.sha256(b'abc').hexdigest()}\n")
    with (
        http_client(tmp_path, kitchen_searcher(tmp_path, WORSE), keys=str(tmp_path / "keys")) as client,
        opened(browser, client, "?q=heated+oven") as (page, errors),
    ):
        page.wait_for_selector("#key:not([hidden])")
        assert "the API key is missing or unknown" in page.inner_text("#status")
        page.fill("#key", "abc")
        page.keyboard.press("Tab")
        page.wait_for_selector("li.result:visible")
        assert page.locator("#show-worse:visible").count() == 1
        assert errors == []


def test_the_page_shows_what_it_waits_for(browser, client):
    searcher_is_loaded = []

    def ready(route):
        status = 200 if searcher_is_loaded else 503
        route.fulfill(status=status, json={"message": "the index and the encoder of the search page are loading"})

    with opened(browser, client) as (page, errors):
        page.route("**/ready", ready)
        page.goto(f"{ADDRESS}?q=heated+oven")
        page.wait_for_selector("text=Please wait: the index and the encoder of the search page are loading …")
        assert page.input_value("#query") == "heated oven"
        assert page.locator("li.result").count() == 0
        searcher_is_loaded.append(True)
        page.wait_for_selector("li.result:visible")
        assert errors == []


def test_the_page_says_that_the_service_does_not_answer(browser, client):
    with opened(browser, client) as (page, errors):
        page.wait_for_selector("#test-queries:not([hidden])")
        page.route("**/page/search**", lambda route: route.abort())
        page.fill("#query", "heated oven")
        page.keyboard.press("Enter")
        page.wait_for_selector("#status.error")
        assert page.inner_text("#status") == "The service does not answer."
        assert errors == []
