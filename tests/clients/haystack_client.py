"""Rank with Haystack. Reads the request from standard input and prints {variant: [[index, score], ...]}."""

import json
import os
import sys

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker

request = json.load(sys.stdin)
key, url, top_n = Secret.from_token(os.environ["SERVICE_KEY"]), os.environ["SERVICE_URL"], request["top_n"]
rankers = {
    "CohereRanker": CohereRanker(model="any", api_key=key, api_base_url=url, top_k=top_n),
    "VLLMRanker": VLLMRanker(model="any", api_key=key, api_base_url=f"{url}/v1", top_k=top_n),
    "HuggingFaceTEIRanker": HuggingFaceTEIRanker(url=url, token=key, top_k=top_n),
}
documents = [Document(id=str(i), content=text) for i, text in enumerate(request["texts"])]
ranked = {}
for name, ranker in rankers.items():
    ranked[name] = [
        [int(document.id), document.score]
        for document in ranker.run(query=request["query"], documents=documents)["documents"]
    ]
print(json.dumps(ranked))
