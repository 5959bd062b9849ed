"""Requests to /rerank, the route on which several servers answer different forms, and the rule that chooses the form.

| body | client | form of the answer |
|---|---|---|
| `texts` | Text Embeddings Inference (TEI); Elasticsearch's `hugging_face` service from 8.19 on | array |
| `documents` and no field other than `query`, `top_n`, `return_documents`, `max_chunks_per_doc` | Elasticsearch's \
`hugging_face` service during its development | array |
| `documents` and any other field, such as `model` | vLLM, Infinity, llama.cpp, LiteLLM | object with `results` |

An array contains `index`, `score` and, if asked for, `text`; Elasticsearch refuses any other field. Results in an
object contain `document` unless `return_documents` is false, because vLLM always returns documents and knows no such
field.

Sources: Elasticsearch's HuggingFaceRerankRequestEntity and HuggingFaceRerankResponseEntity; the rerank protocols of
vLLM 0.29, Infinity 0.0.77 and llama.cpp's server; LiteLLM 1.110.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from actors.serving.http_api.request_documents import MAX_DOCUMENTS, Documents, TextDocument
from actors.serving.http_api.schemas import RankingOptions

_ELASTICSEARCH_FIELDS = {"query", "documents", "top_n", "return_documents", "max_chunks_per_doc"}


class EngineRequest(RankingOptions):
    """A request to /rerank, with either `texts` or `documents`.

    The answer is an array of results for `texts`, and for `documents` with no other fields than `query`, `top_n`,
    `return_documents` and `max_chunks_per_doc`. Otherwise it is an object with `results`.
    """

    documents: Documents | None = None
    texts: Annotated[list[str], Field(max_length=MAX_DOCUMENTS, fail_fast=True)] | None = None
    return_text: Annotated[bool | None, Field(description="Another name of `return_documents`.")] = None

    @model_validator(mode="after")
    def _one_list(self) -> EngineRequest:
        if (self.documents is None) == (self.texts is None):
            raise PydanticCustomError("texts_or_documents", "send either texts or documents")
        return self

    @model_validator(mode="after")
    def _one_way_to_ask_for_texts(self) -> EngineRequest:
        if self.return_text is not None and self.return_documents not in (None, self.return_text):
            raise PydanticCustomError(
                "return_text_and_documents", "return_text and return_documents differ; send one of them"
            )
        return self

    @property
    def candidates(self) -> Sequence[str | TextDocument]:
        """The documents to rank."""
        return (self.documents if self.texts is None else self.texts) or []

    @property
    def field(self) -> str:
        """Name of the field that contains the documents."""
        return "documents" if self.texts is None else "texts"

    @property
    def wants_array(self) -> bool:
        """Whether the answer is an array of results instead of an object."""
        declared = {name for name in type(self).model_fields if getattr(self, name) is not None}
        return self.texts is not None or declared | self.undeclared.keys() <= _ELASTICSEARCH_FIELDS

    @property
    def with_texts(self) -> bool:
        """Whether results contain the texts of their documents."""
        asked = self.return_documents if self.return_text is None else self.return_text
        return not self.wants_array if asked is None else asked
