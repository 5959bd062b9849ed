"""TREC documents and topics with tags, over several lines or on one, and topics in XML."""

import gzip

import pytest

from ranking.collections import trec
from ranking.errors import InputError


def documents(folder, text):
    """Return (id, title, text) of each document, and the notes."""
    (folder / "corpus.trec").write_text(text)
    notes = []
    read = trec.read_documents(folder / "corpus.trec", notes)
    return [(document.doc_id, document.title, document.text) for document in read], notes


def topics(folder, text, name="topics.txt"):
    """Return (id, text) of each topic."""
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return [(query.query_id, query.text) for query in trec.read_topics(folder / name)]


def test_documents_without_text_have_the_text_of_other_fields(tmp_path):
    page = (
        "<DOC>\n<DOCNO>WT1</DOCNO>\n<DOCHDR>\nhttp://x\n</DOCHDR>\n"
        "<html><head><title>T</title><style>p {}</style></head><body>web <script>let x = 1 < 2</script>"
        "<!-- a > b -->body\nwords</body></html>\n</DOC>\n"
    )
    read, notes = documents(tmp_path, page)
    assert read == [("WT1", "T", "web body words")]
    assert notes == ["corpus.trec: 1 documents have no <TEXT>; the text of their other fields is used"]


def test_headlines_and_lead_paragraphs_are_read_and_the_rest_is_noted(tmp_path):
    read, notes = documents(
        tmp_path,
        "<DOC>\n<DOCNO>1</DOCNO>\n<HL>Wall street</HL>\n<DD>1987</DD>\n<LP>lead</LP>\n<TEXT>\ntwo</TEXT>\n</DOC>\n"
        "<DOC>\n<DOCNO>2</DOCNO>\n<HEADLINE>Empty</HEADLINE>\n<DATE>1988</DATE>\n<TEXT>\n</TEXT>\n</DOC>\n",
    )
    assert read == [("1", "Wall street", "lead two"), ("2", "Empty", "")]
    assert notes == ["corpus.trec: 2 documents have further fields, which are not read: DD, DATE"]


@pytest.mark.parametrize(
    "text",
    [
        "<DOC><DOCNO>1</DOCNO><TEXT>one</TEXT></DOC>\n<DOC><DOCNO>2</DOCNO><TEXT>two</TEXT></DOC>\n",
        "<DOCS><DOC><DOCNO>1</DOCNO><TEXT>one</TEXT></DOC> <DOC><DOCNO>2</DOCNO><TEXT>two</TEXT></DOC></DOCS>",
        '<doc lang="en"><docno>1</docno>\n<text type="x">one</text></doc>\n'
        "<doc>\n<docno>2</docno><text>two\n</text></doc>",
        "<DOC>\n<DOCNO>1</DOCNO>\n<TEXT>one</TEXT>\n</DOC><DOC>\n<DOCNO>2</DOCNO>\n<TEXT>two</TEXT>\n</DOC>\n",
    ],
)
def test_documents_may_share_lines(tmp_path, text):
    assert documents(tmp_path, text) == ([("1", "", "one"), ("2", "", "two")], [])


def test_tags_within_a_line_of_text_do_not_end_a_document(tmp_path):
    text = "<DOC>\n<DOCNO>1</DOCNO>\n<TEXT>how <doc> and </doc> work\n</TEXT>\n</DOC>\n"
    assert documents(tmp_path, text)[0] == [("1", "", "how and work")]


def test_text_that_is_not_closed_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"corpus\.trec, line 1: the <TEXT> of document '1' is not closed"):
        documents(tmp_path, "<DOC>\n<DOCNO>1</DOCNO>\n<LP>lead</LP>\n<TEXT>words\n</DOC>\n")


@pytest.mark.parametrize(
    "text",
    [
        "<top><num>Number: 1</num><title>if a < b</title><desc>x</desc></top>\n<top><num>2<title>two</top>\n",
        "<top> <num> Number: 1 <title> if a < b <desc> x </top><top><num>2</num><title>two</title></top>",
        '<?xml version="1.0"?>\n<topics>\n<topic number="1"><query>if a &lt; b</query><question>x?</question></topic>\n'
        "<topic number='2'>\n two\n</topic></topics>",
        "<topics><topic><number>1</number><title>if a &lt; b</title></topic>"
        "<topic id='2'><title>two</title></topic></topics>",
        "<?xml version='1.0'?><x><TOP><NUM>Number: 1</NUM><TITLE>if a <b>&lt;</b> b</TITLE></TOP>"
        "<TOP><NUM>2</NUM><TITLE>two</TITLE></TOP></x>",
    ],
)
@pytest.mark.parametrize("name", ["topics.txt", "topics.xml", "topics.xml.gz"])
def test_layouts_of_topics_give_the_same_queries(tmp_path, name, text):
    assert topics(tmp_path, "\ufeff" + text, name) == [("1", "if a < b"), ("2", "two")]


def test_xml_topics_may_have_another_encoding(tmp_path):
    text = "<?xml version='1.0' encoding='ISO-8859-1'?><topics><topic number='1'>café</topic></topics>"
    assert topics(tmp_path, text.encode("latin-1"), "topics.xml") == [("1", "café")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<topics>\n<topic number='1'>\n</topics>", "line 3: not valid XML (mismatched tag)"),
        ("<topics>\n<topic>one</topic></topics>", "line 2: the topic has no id"),
        (
            "<topics>\n<topic number='1'><disease>x</disease><gene>y</gene></topic></topics>",
            "line 2: the topic has no <query> or <title>; its elements: <disease>, <gene>",
        ),
        ("<topics><topic number='1'/></topics>", "line 1: the topic has no <query> or <title>; its elements: none"),
        (
            "<topics>\n<topic number='1'>a</topic>\n<topic number='1'>b</topic></topics>",
            "line 3: topic id '1' is repeated",
        ),
        ("<topics/>", "topics.xml: there are no topics"),
    ],
)
def test_malformed_xml_topic_is_an_error_with_its_line(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        topics(tmp_path, text, "topics.xml")
    assert expected in str(error.value)
