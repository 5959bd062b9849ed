"""Rank with LiteLLM. Reads the request from standard input and prints {variant: [[index, score], ...]}."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it downloads a price list

import litellm

request = json.load(sys.stdin)
litellm.telemetry = False
ranked = {}
for model in ("cohere/any", "hosted_vllm/any", "huggingface/any", "jina_ai/any", "infinity/any"):
    response = litellm.rerank(
        model=model,
        query=request["query"],
        documents=request["texts"],
        top_n=request["top_n"],
        return_documents=not model.startswith("infinity"),  # Infinity's documents are strings
        api_base=os.environ["SERVICE_URL"],
        api_key=os.environ["SERVICE_KEY"],
    )
    ranked[model] = [[result["index"], result["relevance_score"]] for result in response.results]
print(json.dumps(ranked))
