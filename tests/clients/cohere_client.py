"""Rank with cohere's clients. Reads the request from standard input and prints {variant: [[index, score], ...]}."""

import json
import os
import sys

import cohere

request = json.load(sys.stdin)
query, texts, top_n = request["query"], request["texts"], request["top_n"]
key, url = os.environ["SERVICE_KEY"], os.environ["SERVICE_URL"]

objects = [{"text": "unread", "Title": text} for text in texts]
responses = {
    "v1": cohere.Client(key, base_url=url).rerank(query=query, documents=texts, top_n=top_n, return_documents=True),
    "v1 with rank_fields": cohere.Client(key, base_url=url).rerank(
        query=query, documents=objects, rank_fields=["Title"], top_n=top_n
    ),
    "v2": cohere.ClientV2(key, base_url=url).rerank(model="any", query=query, documents=texts, top_n=top_n),
}
assert [result.document.text for result in responses["v1"].results] == [
    texts[result.index] for result in responses["v1"].results
]
print(
    json.dumps(
        {
            name: [[result.index, result.relevance_score] for result in response.results]
            for name, response in responses.items()
        }
    )
)
