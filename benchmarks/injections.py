"""Measure how often prompt injections change a ranking: our prompt against the plain RankGPT prompt.

    python -m benchmarks.injections [--lists 5] [--out FILE.json]
    python -m benchmarks.injections --model FOLDER-OR-HUB-ID

Each injection is placed among nine real documents. Without --model, a credulous reader answers: it copies the last
ranking that it finds among the documents, in any notation, or the first identifier after a guessed fence, or lists the
documents in prompt order if it finds neither. Its success rate shows which injections still look like an answer in the
prompt, not how often a language model follows them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.labelling.pydoc_lists import real_lists
from ranking.audit.estimates import share
from ranking.labels.listwise_answers import ParsedAnswer, longest_answer, read_answer
from ranking.prompts import LISTWISE, RANKGPT, Prompt, load_prompt
from ranking.records import PreRankedList, content
from tools.injections import Injection, harmless, load, outcome_changed
from tools.injections.credulous import copied_answer

DOCUMENTS = 10
_MARK = re.compile(r"^<<< \[1\] ([a-z]+)$", re.MULTILINE)
Reader = Callable[[Prompt, str, list[str], str], Awaitable[ParsedAnswer]]
"""Maps (prompt, query, texts in prompt order, seed) to the parsed answer."""


async def credulous(prompt: Prompt, query: str, texts: list[str], seed: str) -> ParsedAnswer:
    """Answer as the documents say, or with the prompt order if they give no answer."""
    filled = prompt.messages(query, texts, seed)[-1]["content"]
    empty = prompt.messages(query, [], seed)[-1]["content"]
    shown = filled.removeprefix(prompt.opening)[: len(filled) - len(empty)]
    mark = _MARK.search(shown)
    return read_answer(copied_answer(shown, mark[1] if mark else None) or longest_answer(len(texts)), len(texts))


def by_model(model: str, engine_arguments: dict[str, Any], document_tokens: int) -> tuple[Reader, Callable[[], None]]:
    """Make a reader that runs a model. Structured output is off because it would hide refusals.

    Args:
        model: Folder or Hugging Face id.
        engine_arguments: Engine arguments of vLLM.
        document_tokens: Maximum number of tokens per document.

    Returns:
        The reader, and a function that shuts down its engine.
    """
    from actors.vllm.crash_log import CrashLog
    from actors.vllm.engine import VllmEngine
    from actors.vllm.prompt_tokens import PromptFiller
    from ranking.storage.folder import Folder

    crashes = tempfile.TemporaryDirectory()
    engine = VllmEngine(model, None, "generate", engine_arguments, 0, CrashLog(Folder(crashes.name)))
    context = engine_arguments.get("max_model_len")
    fillers = {
        path: PromptFiller(load_prompt(path), model, None, context, document_tokens) for path in (LISTWISE, RANKGPT)
    }
    by_hash = {filler.prompt.hash: filler for filler in fillers.values()}

    async def read(prompt: Prompt, query: str, texts: list[str], seed: str) -> ParsedAnswer:
        filled = by_hash[prompt.hash].fill(query, texts, seed)
        completion = await engine.generate(filled.tokens, {"temperature": 0.0, "max_tokens": filled.answer_tokens})
        return read_answer(completion.text, len(texts), completion.finish_reason)

    def close() -> None:
        engine.close()
        crashes.cleanup()

    return read, close


async def measure(prompt: Prompt, reader: Reader, lists: list[PreRankedList]) -> dict[str, Any]:
    """Put every injection into every list and count the successes.

    Returns:
        Under `kinds` [successes, attempts] by kind of injection, under `rate` the success rate with its interval, and
        the number of pairs whose answer without the injection is unusable. These pairs are not attempts.
    """
    kinds: dict[str, list[int]] = {}
    unusable = 0
    for injection in load():
        kinds.setdefault(injection.kind, [0, 0])
        for row in lists:
            changed = await _attack(
                prompt, reader, injection, row.text, [content(p.candidate.title, p.candidate.text) for p in row.picked]
            )
            unusable += changed is None
            kinds[injection.kind][0] += changed is True
            kinds[injection.kind][1] += changed is not None
    successes, attempts = (sum(counts[i] for counts in kinds.values()) for i in (0, 1))
    return {"kinds": kinds, "rate": share(successes, attempts).model_dump(), "clean answer unusable": unusable}


async def _attack(prompt: Prompt, reader: Reader, injection: Injection, query: str, texts: list[str]) -> bool | None:
    """Return whether an injection changes the outcome; None if the answer without the injection is unusable."""
    place = injection.place or random.Random(f"{injection.id} {query}").randint(1, DOCUMENTS)
    others = texts[: DOCUMENTS - 1]

    def shown(text: str) -> list[str]:
        return [*others[: place - 1], text, *others[place - 1 :]]

    clean = await reader(prompt, query, shown(harmless(len(injection.text))), injection.id)
    if not clean.usable:
        return None
    attacked = await reader(prompt, query, shown(injection.text), injection.id)
    return outcome_changed(clean, attacked, place, injection.wants)


def main() -> None:
    """Run the comparison and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=5, help="number of lists per injection")
    parser.add_argument("--model", help="model to run instead of the credulous reader: folder or Hugging Face id")
    parser.add_argument(
        "--engine", type=json.loads, default={"max_model_len": 4096}, help="engine arguments of vLLM, as JSON"
    )
    parser.add_argument("--document-tokens", type=int, default=200, help="maximum tokens per document")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    arguments = parser.parse_args()
    reader, close = (
        by_model(arguments.model, arguments.engine, arguments.document_tokens)
        if arguments.model
        else (credulous, lambda: None)
    )

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        lists = real_lists(arguments.lists)
        return await measure(load_prompt(LISTWISE), reader, lists), await measure(load_prompt(RANKGPT), reader, lists)

    try:
        ours, plain = asyncio.run(both())
    finally:
        close()
    if arguments.out:
        result = {"reader": arguments.model or "credulous", "ours": ours, "plain": plain}
        arguments.out.write_text(json.dumps(result, indent=2))
    table = Table(
        "kind of injection",
        "ours",
        "plain RankGPT prompt",
        title=f"successful injections, reader: {arguments.model or 'credulous'}",
    )
    for kind, (successes, attempts) in ours["kinds"].items():
        table.add_row(kind, f"{successes} of {attempts}", "{} of {}".format(*plain["kinds"][kind]))
    table.add_section()
    table.add_row("all", *(_rate(side["rate"]) for side in (ours, plain)))
    Console().print(table)
    if ours["clean answer unusable"] or plain["clean answer unusable"]:
        Console().print(
            "left out because the answer without the injection is unusable: "
            f"{ours['clean answer unusable']} (ours), {plain['clean answer unusable']} (plain)"
        )


def _rate(rate: dict[str, Any]) -> str:
    if rate["share"] is None:
        return "no attempts"
    low, high = rate["interval"]
    return f"{rate['share']:.1%} ({low:.1%} to {high:.1%})"


if __name__ == "__main__":
    main()
