"""What search engines send to a re-ranker and how they read its answer, written after their documentation and source.

No search engine runs in the tests. Each reader is as strict as the engine's own.
"""

import json
import re

from tests.testing.facts import ROOT

PAGES = ROOT / "docs" / "integrations"
_ARRAY_FIELDS = {"index", "score", "relevance_score", "text", "document"}


def console_requests(page):
    """Return the requests in the code blocks of a page of docs/integrations, {first line: body}."""
    blocks = re.findall(r"```(?:json)?\n((?:PUT|POST) [^\n]+)\n(\{.*?)```", (PAGES / page).read_text(), re.DOTALL)
    return {line: json.loads(body) for line, body in blocks}


def hugging_face_body(query, documents, top_n=None, return_documents=None):
    """Return the body of Elasticsearch's `hugging_face` service (HuggingFaceRerankRequestEntity, 8.19 and 9.1)."""
    optional = {"return_text": return_documents, "top_n": top_n}
    return {"texts": documents, "query": query, **{k: v for k, v in optional.items() if v is not None}}


def hugging_face_development_body(query, documents, top_n=None, return_documents=None):
    """Return the body of the same service in the first version of elasticsearch#127966."""
    optional = {"return_documents": return_documents, "top_n": top_n}
    return {"documents": documents, "query": query, **{k: v for k, v in optional.items() if v is not None}}


def read_hugging_face(content, top_n=None):
    """Return (index, score, text) of each result, as HuggingFaceRerankResponseEntity does. Unknown fields fail."""
    results = json.loads(content)
    assert isinstance(results, list)
    assert all(result.keys() <= _ARRAY_FIELDS for result in results)
    triples = [(result["index"], result["score"], result.get("text")) for result in results]
    return sorted(triples, key=lambda triple: -triple[1])[:top_n]


def custom_service_body(query, documents):
    """Return the body of Elasticsearch's `custom` service, with the template of the documentation page, as text."""
    settings = console_requests("elasticsearch.md")["PUT _inference/rerank/rradistill-custom"]["service_settings"]
    values = {"query": query, "input": documents}
    return re.sub(r"\$\{(\w+)\}", lambda match: json.dumps(values[match[1]]), settings["request"])


def read_custom_service(content):
    """Return (index, score, text) of each result, by the paths of the documentation page. A missing path fails."""
    settings = console_requests("elasticsearch.md")["PUT _inference/rerank/rradistill-custom"]["service_settings"]
    paths = settings["response"]["json_parser"]
    columns = [_path(json.loads(content), paths[k]) for k in ("reranked_index", "relevance_score", "document_text")]
    return list(zip(*columns, strict=True))


def open_search_body(query, documents):
    """Return the body that `connector.pre_process.cohere.rerank` and the page's template make, as text."""
    action = console_requests("opensearch.md")["POST /_plugins/_ml/connectors/_create"]["actions"][0]
    assert action["pre_process_function"] == "connector.pre_process.cohere.rerank"
    assert action["post_process_function"] == "connector.post_process.cohere.rerank"
    values = {"query": json.dumps(query)[1:-1], "documents": json.dumps(documents), "top_n": str(len(documents))}
    return re.sub(r"\$\{parameters\.(\w+)\}", lambda match: values[match[1]], action["request_body"])


def read_open_search(content):
    """Return the scores in document order, as CohereRerankPostProcessFunction does.

    It casts `index` to Integer and `relevance_score` to Double, and needs a result for each document.
    """
    results = json.loads(content)["results"]
    scores = [None] * len(results)
    for result in results:
        assert (type(result["index"]), type(result["relevance_score"])) == (int, float)
        scores[result["index"]] = result["relevance_score"]
    return scores


def _path(value, path):
    """Evaluate a JSONPath of names and `[*]`."""
    values = [value]
    for name, each in re.findall(r"\.(\w+)(\[\*\])?", path):
        values = [value[name] for value in values]
        values = [item for value in values for item in value] if each else values
    return values
