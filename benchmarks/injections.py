"""How often passages that try to change a ranking succeed: our prompt against the plain form of RankGPT.

    python -m benchmarks.injections [--lists 5] [--out FILE.json]
    python -m benchmarks.injections --model FOLDER-OR-HUB-ID

Each attack stands among nine real documents. Without a model, the reader is the most credulous one there is: it
writes down the last ranking that it finds among the documents, and the documents in their order where it finds none.
So it tells which attacks still look like an answer in the prompt, not how many a language model falls for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.data.rows import PreRankedList
from benchmarks.labelling.lists import real_lists
from ranking.audit.estimates import share
from ranking.labels.listwise_answers import ParsedAnswer, longest_answer, read_answer
from ranking.prompts import LISTWISE, RANKGPT, Prompt, load_prompt
from ranking.records import content
from tools.injections import Injection, harmless, load, outcome_changed

DOCUMENTS = 10
_CHAIN = re.compile(r"\[\d+\](?: > \[\d+\])+")
Reader = Callable[[Prompt, str, list[str], str], Awaitable[ParsedAnswer]]
"""(prompt, query, texts as shown, seed) to the answer."""


async def credulous(prompt: Prompt, query: str, texts: list[str], seed: str) -> ParsedAnswer:
    """The last ranking that stands among the documents, else their order."""
    filled = prompt.messages(query, texts, seed)[-1]["content"]
    empty = prompt.messages(query, [], seed)[-1]["content"]
    shown = filled.removeprefix(prompt.opening)[: len(filled) - len(empty)]
    found = _CHAIN.findall(shown)
    return read_answer(found[-1] if found else longest_answer(len(texts)), len(texts))


def by_model(model: str, engine_arguments: dict[str, Any], document_tokens: int) -> tuple[Reader, Callable[[], None]]:
    """A reader that asks a model, without structured output, so that a refusal can be seen; and what ends it."""
    from actors.vllm.engine import VllmEngine
    from actors.vllm.prompt_tokens import PromptFiller

    engine = VllmEngine(model, None, "generate", engine_arguments, 0, lambda: None)
    context = engine_arguments.get("max_model_len")
    fillers = {
        path: PromptFiller(load_prompt(path), model, None, context, document_tokens) for path in (LISTWISE, RANKGPT)
    }
    by_hash = {filler.prompt.hash: filler for filler in fillers.values()}

    async def read(prompt: Prompt, query: str, texts: list[str], seed: str) -> ParsedAnswer:
        filled = by_hash[prompt.hash].fill(query, texts, seed)
        written = await engine.generate(filled.tokens, {"temperature": 0.0, "max_tokens": filled.answer_tokens})
        return read_answer(written.text, len(texts), written.finish_reason)

    return read, engine.close


async def measure(prompt: Prompt, reader: Reader, lists: list[PreRankedList]) -> dict[str, Any]:
    """Put every injection into every list; successes and attempts by kind. Pairs without a usable clean answer count apart."""
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
    place = injection.place or random.Random(f"{injection.id} {query}").randint(1, DOCUMENTS)
    around = texts[: DOCUMENTS - 1]

    def shown(text: str) -> list[str]:
        return [*around[: place - 1], text, *around[place - 1 :]]

    clean = await reader(prompt, query, shown(harmless(len(injection.text))), injection.id)
    if not clean.usable:
        return None
    attacked = await reader(prompt, query, shown(injection.text), injection.id)
    return outcome_changed(clean, attacked, place, injection.wants)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=5, help="lists that each injection is put into")
    parser.add_argument("--model", help="ask this model instead of the credulous reader")
    parser.add_argument("--engine", type=json.loads, default={"max_model_len": 4096}, help="arguments of vLLM, as JSON")
    parser.add_argument("--document-tokens", type=int, default=200)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    reader, close = (
        by_model(given.model, given.engine, given.document_tokens) if given.model else (credulous, lambda: None)
    )

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        lists = real_lists(given.lists)
        return await measure(load_prompt(LISTWISE), reader, lists), await measure(load_prompt(RANKGPT), reader, lists)

    try:
        ours, plain = asyncio.run(both())
    finally:
        close()
    if given.out:
        given.out.write_text(json.dumps({"reader": given.model or "credulous", "ours": ours, "plain": plain}, indent=2))
    table = Table(
        "kind of attack",
        "ours",
        "plain RankGPT form",
        title=f"attacks that succeed, read by {given.model or 'a credulous reader'}",
    )
    for kind, (won, tried) in ours["kinds"].items():
        table.add_row(kind, f"{won} of {tried}", "{} of {}".format(*plain["kinds"][kind]))
    table.add_section()
    table.add_row("all", *(_rate(side["rate"]) for side in (ours, plain)))
    Console().print(table)
    if ours["clean answer unusable"] or plain["clean answer unusable"]:
        Console().print(
            f"left out, no usable answer without an attack: {ours['clean answer unusable']}, {plain['clean answer unusable']}"
        )


def _rate(rate: dict[str, Any]) -> str:
    if rate["share"] is None:
        return "nothing to count"
    low, high = rate["interval"]
    return f"{rate['share']:.1%} ({low:.1%} to {high:.1%})"


if __name__ == "__main__":
    main()
