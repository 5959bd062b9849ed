"""One prompt against the sliding window, structured against free answers, and our way through Ray against vLLM's own
offline generate.

    python -m benchmarks.labelling.engine_speed [--queries 12] [--prompts 48] [--out FILE.json]

A model of 113M parameters with random weights stands for the teacher: what it answers means nothing, what it
costs is real. Structured output is on, on all sides but the free one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.data.rows import PreRankedList
from actors.settings import ComputeSettings, ListwiseTeacherSettings
from benchmarks.labelling.lists import head_and_tail, real_lists
from tools.tiny_models import tiny_generator

ENGINE = {"max_model_len": 4096, "max_num_seqs": 16, "enforce_eager": True, "enable_prefix_caching": True}
DOCUMENT_TOKENS = 100
_WARM = 2


def settings_of(model: str, **more: Any) -> ListwiseTeacherSettings:
    return ListwiseTeacherSettings(
        model=model, engine=ENGINE, max_document_tokens=DOCUMENT_TOKENS, max_attempts=1, **more
    )


def against_the_window(model: str, queries: int) -> dict[str, Any]:
    """The same 50 candidates by one prompt over the ends and by the window over all, one engine, one after the other."""
    from actors.teachers.listwise import STRUCTURED
    from actors.teachers.listwise_requests import ListwiseRequester
    from actors.vllm.crash_log import CrashLog
    from actors.vllm.engine import VllmEngine
    from actors.vllm.prompt_tokens import PromptFiller
    from actors.vllm.response_cache import ResponseCache
    from ranking.prompts import load_prompt
    from ranking.storage.folder import Folder

    lists = real_lists(queries + _WARM)
    unmarked = CrashLog(Folder(tempfile.mkdtemp()))
    engine = VllmEngine(model, None, "generate", {**ENGINE, "logits_processors": [STRUCTURED]}, 0, unmarked)

    async def arm(settings: ListwiseTeacherSettings, rows: list[PreRankedList]) -> dict[str, float]:
        filler = PromptFiller(load_prompt(), model, None, ENGINE["max_model_len"], settings.max_document_tokens)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            asker = ListwiseRequester(settings, filler, ResponseCache(Folder(folder)), engine.generate)
            await asyncio.gather(*(asker.rankings(row) for row in rows[:_WARM]))
            began = time.perf_counter()
            rankings = await asyncio.gather(*(asker.rankings(row) for row in rows[_WARM:]))
            seconds = time.perf_counter() - began
        asked = [parsed.response for (ranking,) in rankings for parsed in ranking.responses]
        return {
            "usable": sum(ranking.order is not None for (ranking,) in rankings),
            "written_per_call": sum(one.completion_tokens for one in asked) / len(asked),
            "calls": len(asked),
            "prompt_tokens": sum(one.prompt_tokens for one in asked),
            "queries_per_second": queries / seconds,
        }

    async def arms() -> list[dict[str, float]]:
        ends = [head_and_tail(row) for row in lists]
        window = settings_of(model, window={"size": 20, "stride": 10})
        # free comes last: its prompts are cached by then, so its speed would tell nothing
        return [
            await arm(settings_of(model), ends),
            await arm(window, lists),
            await arm(settings_of(model, structured=False), ends),
        ]

    try:
        ours, window, free = asyncio.run(arms())
    finally:
        engine.close()
    assert ours["usable"] == window["usable"] == queries
    ratio = {name: ours[name] / window[name] for name in ("calls", "prompt_tokens", "queries_per_second")}
    return {"queries": queries, "one prompt": ours, "window": window, "free": free, "ratio": ratio}


def offline(model: str, prompts: int) -> dict[str, float]:
    """vLLM's own `LLM.generate` over the prompts of the first lists."""
    from actors.vllm.engine import engine_arguments, set_cpu_environment

    set_cpu_environment()
    from vllm import LLM, SamplingParams

    from actors.teachers.listwise import STRUCTURED
    from actors.vllm.prompt_tokens import PromptFiller
    from ranking.labels.answer_constraints import DOCUMENTS
    from ranking.prompts import load_prompt
    from ranking.records import content

    filler = PromptFiller(load_prompt(), model, None, ENGINE["max_model_len"], DOCUMENT_TOKENS)  # type: ignore[arg-type]
    filled = []
    for row in map(head_and_tail, real_lists(prompts + _WARM)):
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        filled.append(filler.fill(row.text, texts, row.query_id))
    llm = LLM(model, **engine_arguments({**ENGINE, "logits_processors": [STRUCTURED]}, 0))
    sampling = [
        SamplingParams(temperature=0.0, max_tokens=one.answer_tokens, extra_args={DOCUMENTS: 20}) for one in filled
    ]
    asked: list[Any] = [{"prompt_token_ids": one.tokens} for one in filled]
    llm.generate(asked[:_WARM], sampling[:_WARM], use_tqdm=False)
    began = time.perf_counter()
    outputs = llm.generate(asked[_WARM:], sampling[_WARM:], use_tqdm=False)
    return _rate(
        time.perf_counter() - began,
        sum(len(o.prompt_token_ids) for o in outputs),
        sum(len(o.outputs[0].token_ids) for o in outputs),
    )


def through_ray(model: str, prompts: int) -> dict[str, float]:
    """Our teacher over the same lists, through Ray Data, from its engine being warm to its last answer."""
    import ray

    from actors.data.streaming import LISTS_PER_PART, dataset_of
    from actors.teachers.listwise_requests import list_id_of
    from actors.vllm.engine_actor import through_teachers
    from actors.vllm.response_cache import ResponseCache
    from benchmarks.labelling.timed import TimedActor
    from ranking.records import Provenance
    from ranking.storage.folder import Folder

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [head_and_tail(row) for row in real_lists(prompts + _WARM)]
    compute = ComputeSettings()
    with tempfile.TemporaryDirectory() as folder:
        provenance = Provenance(teacher=model, fingerprint="f", engine="vllm", targets="tiers")
        arguments = (settings_of(model), compute, Folder(folder), provenance, rows[:_WARM])
        lists = dataset_of(rows[_WARM:], PreRankedList, LISTS_PER_PART)
        labelled = through_teachers(lists, TimedActor, arguments, compute).count()
        assert labelled == prompts
        began, ended = json.loads(Folder(folder).read_text("times.json"))
        memory = ResponseCache(Folder(folder))
        asked = [memory.find(list_id_of(row), 0, 0, 1) for row in rows[_WARM:]]
    return _rate(
        ended - began,
        sum(one.prompt_tokens for one in asked if one),
        sum(one.completion_tokens for one in asked if one),
    )


def _rate(seconds: float, prompt_tokens: int, completion_tokens: int) -> dict[str, float]:
    tokens = prompt_tokens + completion_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "tokens_per_second": tokens / seconds,
    }


SIDES = {"window": against_the_window, "offline": offline, "ray": through_ray}


def _apart(side: str, model: str, number: int) -> dict[str, Any]:
    """Run a side in a process of its own, so that each has the machine to itself."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.labelling.engine_speed",
        "--side",
        side,
        "--model",
        model,
        "--number",
        str(number),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    print(f"{side}: {done.stdout.splitlines()[-1]}", file=sys.stderr, flush=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=12, help="queries of the comparison with the window")
    parser.add_argument("--prompts", type=int, default=48, help="prompts of the comparison with offline generate")
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often each side of the second comparison runs, in turn"
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(SIDES[given.side](given.model, given.number)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_generator(Path(folder), hidden=768, layers=12, context=4096))
        window = _apart("window", model, given.queries)
        rounds = [
            {side: _apart(side, model, given.prompts) for side in ("offline", "ray")} for _ in range(given.rounds)
        ]
    ratios = [one["ray"]["tokens_per_second"] / one["offline"]["tokens_per_second"] for one in rounds]
    result = {"window": window, "offline": rounds, "ray / offline, tokens per second": ratios}
    if given.out:
        given.out.write_text(json.dumps(result, indent=2))
    table = Table("one prompt / sliding window, same 50 candidates", "one prompt", "window", "ratio", "wanted")
    for name, wanted in (
        ("calls", "at most 0.25"),
        ("prompt_tokens", "at most 0.25"),
        ("queries_per_second", "at least 3"),
    ):
        ours, theirs = window["one prompt"][name], window["window"][name]
        table.add_row(name.replace("_", " "), f"{ours:,.4g}", f"{theirs:,.4g}", f"{window['ratio'][name]:.3f}", wanted)
    for number, (one, ratio) in enumerate(zip(rounds, ratios, strict=True), start=1):
        rates = [f"{one[side]['tokens_per_second']:,.0f}" for side in ("ray", "offline")]
        table.add_row(
            f"tokens per second, ours through Ray / vLLM offline, round {number}",
            *rates,
            f"{ratio:.3f}",
            "at least 0.9",
        )
    Console().print(table)
    forms = Table("structured output", "usable answers", "tokens written an answer")
    for name, side in (("on", "one prompt"), ("off", "free")):
        forms.add_row(
            name, f"{window[side]['usable']} of {window['queries']}", f"{window[side]['written_per_call']:.1f}"
        )
    Console().print(forms)


if __name__ == "__main__":
    main()
