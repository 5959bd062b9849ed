"""Rank with LangChain. Reads the request from standard input and prints {variant: [[index, score], ...]}."""

import json
import os
import sys

from langchain_cohere import CohereRerank
from langchain_core.documents import Document

request = json.load(sys.stdin)
documents = [Document(page_content=text, metadata={"index": i}) for i, text in enumerate(request["texts"])]
ranker = CohereRerank(
    base_url=os.environ["SERVICE_URL"],
    cohere_api_key=os.environ["SERVICE_KEY"],
    model="any",
    top_n=request["top_n"],
)
ranked = ranker.compress_documents(documents, request["query"])
print(json.dumps({"CohereRerank": [[doc.metadata["index"], doc.metadata["relevance_score"]] for doc in ranked]}))
