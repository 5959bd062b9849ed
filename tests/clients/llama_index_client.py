"""Rank with LlamaIndex. Reads the request from standard input and prints {variant: [[index, score], ...]}."""

import json
import os
import sys

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

request = json.load(sys.stdin)
key, url = os.environ["SERVICE_KEY"], os.environ["SERVICE_URL"]
rankers = {
    "CohereRerank": CohereRerank(api_key=key, base_url=url, model="any", top_n=request["top_n"]),
    "TextEmbeddingInference": TextEmbeddingInference(base_url=url, auth_token=f"Bearer {key}", top_n=request["top_n"]),
}
ranked = {}
for name, ranker in rankers.items():
    nodes = [NodeWithScore(node=TextNode(id_=str(i), text=text)) for i, text in enumerate(request["texts"])]
    ranked[name] = [
        [int(node.node.id_), node.score]
        for node in ranker.postprocess_nodes(nodes, query_bundle=QueryBundle(request["query"]))
    ]
print(json.dumps(ranked))
