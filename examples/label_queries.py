"""Label ten queries of the pydoc collection with a local LLM in vLLM, and print its rankings.

    python examples/label_queries.py [MODEL]

MODEL is a folder or Hugging Face id of a generating model with a chat template; by default `minilm-list`, the small
decoder that comes with the project. The labels are in runs/example/labels/.
"""

from __future__ import annotations

import json
import sys

from ranking.records import Label
from ray_jobs import label
from ray_jobs.common.run import open_run


def main(model: str = "minilm-list", *overrides: str) -> None:
    """Label the queries and print the listed documents of each."""
    teacher = json.dumps({"kind": "listwise", "model": model})
    settings = ["--run", "example", "--queries.sample", "10", "--candidates.retrievers", '[{"kind": "bm25"}]']
    settings += ["--teacher", teacher, *overrides]
    run = open_run(["configs/listwise.yaml", *settings])
    label.main(run)
    for row in run.plan.labels.folder.read_rows(Label):
        listed = sorted((c for c in row.candidates if c.position is not None), key=lambda c: c.position or 0)
        run.progress.line("\n    ".join([row.query, *(candidate.doc_id for candidate in listed[:3])]))


if __name__ == "__main__":
    main(*sys.argv[1:])
