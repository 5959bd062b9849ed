"""A stand-in for Elasticsearch: `_search` over an index of tantivy, for `match` queries on the field `text`."""

import json
import threading
import time

import tantivy

from tests.testing.facts import FACTS
from tests.testing.search_server import elastic_answer


class FactIndex:
    """An index of the twelve facts, and of documents that are not in the test collection."""

    def __init__(self, more=()):
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("id", stored=True, tokenizer_name="raw")
        schema.add_text_field("text", stored=True, tokenizer_name="en_stem")
        self.index = tantivy.Index(schema.build())
        writer = self.index.writer(heap_size=15_000_000, num_threads=1)
        for doc_id, text in [*FACTS, *more]:
            writer.add_document(tantivy.Document(id=[doc_id], text=[text]))
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()

    def search(self, query, size):
        """Return up to `size` hits as (id, score, text), best first. Any word of the query may match."""
        words = "".join(character if character.isalnum() else " " for character in query)
        searcher = self.index.searcher()
        found = searcher.search(self.index.parse_query(words, ["text"]), size).hits
        documents = [(score, searcher.doc(address)) for score, address in found]
        return [(document["id"][0], score, document["text"][0]) for score, document in documents]


def answer_of(index, log=None, seconds=0.0):
    """Return a function that answers requests to `/facts/_search`, for `running_search_server`.

    Args:
        index: The index to search.
        log: File to append the text of every query to, as JSON lines.
        seconds: Time to wait before each answer.
    """
    lock = threading.Lock()

    def answer(request, handler):
        if request.path != "/facts/_search" or request.method != "POST":
            return 404, {}, {"error": {"reason": f"no handler found for {request.path}"}, "status": 404}
        query = request.body["query"]["match"]["text"]
        if log is not None:
            with lock, log.open("a") as stream:
                stream.write(json.dumps(query) + "\n")
        time.sleep(seconds)
        hits = index.search(query, request.body["size"])
        return 200, {}, elastic_answer(*((doc_id, score, {"text": text}) for doc_id, score, text in hits))

    return answer
