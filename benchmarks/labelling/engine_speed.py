"""Compare ways to label lists: one prompt, sliding window and free-form answers; Ray Data and offline vLLM.

    python -m benchmarks.labelling.engine_speed [--queries 12] [--prompts 48] [--out FILE.json]

The teacher is a model of 113M parameters with random weights. Its answers are meaningless, but its cost is real.
Structured output is on for all sides except the free-form one.
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

from actors.compute_settings import ComputeSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from benchmarks.labelling.pydoc_lists import head_and_tail, real_lists
from ranking.records import PreRankedList
from tools.tiny_models import tiny_generator

ENGINE = {"max_model_len": 4096, "max_num_seqs": 16, "enforce_eager": True, "enable_prefix_caching": True}
DOCUMENT_TOKENS = 100
_WARM_UP_LISTS = 2


def settings_of(model: str, **others: Any) -> ListwiseTeacherSettings:
    """Make teacher settings.

    Args:
        model: Folder of the model.
        **others: Further fields of the settings.
    """
    return ListwiseTeacherSettings(
        model=model, engine=ENGINE, max_document_tokens=DOCUMENT_TOKENS, max_attempts=1, **others
    )


def compare_prompts(model: str, queries: int) -> dict[str, Any]:
    """Label the same 50 candidates with one prompt, a sliding window, and one prompt with free-form answers.

    The prompt shows head and tail of the list, the window covers all candidates. The methods run one after another on
    the same engine.

    Args:
        model: Folder of the model.
        queries: Number of timed queries.
    """
    from actors.teachers.listwise.listwise_requests import ListwiseRequester
    from actors.teachers.listwise.listwise_teacher import STRUCTURED
    from actors.vllm.crash_log import CrashLog
    from actors.vllm.engine import VllmEngine
    from actors.vllm.prompt_tokens import PromptFiller
    from actors.vllm.response_cache import ResponseCache
    from ranking.prompts import load_prompt
    from ranking.storage.folder import Folder

    lists = real_lists(queries + _WARM_UP_LISTS)
    crash_log = CrashLog(Folder(tempfile.mkdtemp()))
    engine = VllmEngine(model, None, "generate", {**ENGINE, "logits_processors": [STRUCTURED]}, 0, crash_log)

    async def run_method(settings: ListwiseTeacherSettings, rows: list[PreRankedList]) -> dict[str, float]:
        filler = PromptFiller(load_prompt(), model, None, ENGINE["max_model_len"], settings.max_document_tokens)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            requester = ListwiseRequester(settings, filler, ResponseCache(Folder(folder)), engine.generate)
            await asyncio.gather(*(requester.rankings(row) for row in rows[:_WARM_UP_LISTS]))
            start = time.perf_counter()
            rankings = await asyncio.gather(*(requester.rankings(row) for row in rows[_WARM_UP_LISTS:]))
            seconds = time.perf_counter() - start
        responses = [parsed.response for (ranking,) in rankings for parsed in ranking.responses]
        return {
            "usable": sum(ranking.order is not None for (ranking,) in rankings),
            "written_per_call": sum(response.completion_tokens for response in responses) / len(responses),
            "calls": len(responses),
            "prompt_tokens": sum(response.prompt_tokens for response in responses),
            "queries_per_second": queries / seconds,
        }

    async def run_methods() -> list[dict[str, float]]:
        ends = [head_and_tail(row) for row in lists]
        window = settings_of(model, window={"size": 20, "stride": 10})
        # free-form runs last because its prompts are then in the prefix cache, and its speed is not compared
        return [
            await run_method(settings_of(model), ends),
            await run_method(window, lists),
            await run_method(settings_of(model, structured=False), ends),
        ]

    try:
        ours, window, free = asyncio.run(run_methods())
    finally:
        engine.close()
    assert ours["usable"] == window["usable"] == queries
    ratio = {name: ours[name] / window[name] for name in ("calls", "prompt_tokens", "queries_per_second")}
    return {"queries": queries, "one prompt": ours, "window": window, "free": free, "ratio": ratio}


def offline(model: str, prompts: int) -> dict[str, float]:
    """Measure `LLM.generate` of vLLM.

    Args:
        model: Folder of the model.
        prompts: Number of timed prompts, one per list.
    """
    from actors.vllm.engine import engine_arguments, set_cpu_environment

    set_cpu_environment()
    from vllm import LLM, SamplingParams

    from actors.teachers.listwise.listwise_teacher import STRUCTURED
    from actors.vllm.prompt_tokens import PromptFiller
    from ranking.labels.answer_constraints import DOCUMENTS
    from ranking.prompts import load_prompt
    from ranking.records import content

    filler = PromptFiller(load_prompt(), model, None, ENGINE["max_model_len"], DOCUMENT_TOKENS)  # type: ignore[arg-type]
    filled = []
    for row in map(head_and_tail, real_lists(prompts + _WARM_UP_LISTS)):
        texts = [content(shown.candidate.title, shown.candidate.text) for shown in row.picked]
        filled.append(filler.fill(row.text, texts, row.query_id))
    llm = LLM(model, trust_remote_code=False, **engine_arguments({**ENGINE, "logits_processors": [STRUCTURED]}, 0))
    sampling = [
        SamplingParams(temperature=0.0, max_tokens=prompt.answer_tokens, extra_args={DOCUMENTS: 20})
        for prompt in filled
    ]
    requests: list[Any] = [{"prompt_token_ids": prompt.tokens} for prompt in filled]
    llm.generate(requests[:_WARM_UP_LISTS], sampling[:_WARM_UP_LISTS], use_tqdm=False)
    start = time.perf_counter()
    outputs = llm.generate(requests[_WARM_UP_LISTS:], sampling[_WARM_UP_LISTS:], use_tqdm=False)
    return _rate(
        time.perf_counter() - start,
        sum(len(o.prompt_token_ids) for o in outputs),
        sum(len(o.outputs[0].token_ids) for o in outputs),
    )


def through_ray(model: str, prompts: int) -> dict[str, float]:
    """Measure our teacher in Ray Data over the same lists, from the end of warm-up to the last answer.

    Args:
        model: Folder of the model.
        prompts: Number of timed lists.
    """
    import ray

    from actors.data.streaming import LISTS_PER_PART, dataset_of
    from actors.teachers.listwise.listwise_requests import list_id_of
    from actors.vllm.engine_actor import through_teachers
    from actors.vllm.response_cache import ResponseCache
    from benchmarks.labelling.timed_teacher import TimedActor
    from ranking.records import Provenance
    from ranking.storage.folder import Folder

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [head_and_tail(row) for row in real_lists(prompts + _WARM_UP_LISTS)]
    compute = ComputeSettings()
    with tempfile.TemporaryDirectory() as folder:
        provenance = Provenance(teacher=model, fingerprint="f", engine="vllm", targets="tiers")
        arguments = (settings_of(model), compute, Folder(folder), provenance, rows[:_WARM_UP_LISTS])
        lists = dataset_of(rows[_WARM_UP_LISTS:], PreRankedList, LISTS_PER_PART)
        labelled = through_teachers(lists, TimedActor, arguments, compute).count()
        assert labelled == prompts
        start, end = json.loads(Folder(folder).read_text("times.json"))
        cache = ResponseCache(Folder(folder))
        responses = [cache.find(list_id_of(row), 0, 0, 1) for row in rows[_WARM_UP_LISTS:]]
    return _rate(
        end - start,
        sum(response.prompt_tokens for response in responses if response),
        sum(response.completion_tokens for response in responses if response),
    )


def _rate(seconds: float, prompt_tokens: int, completion_tokens: int) -> dict[str, float]:
    tokens = prompt_tokens + completion_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "tokens_per_second": tokens / seconds,
    }


SIDES = {"window": compare_prompts, "offline": offline, "ray": through_ray}


def _in_process(side: str, model: str, number: int) -> dict[str, Any]:
    """Run a side in a separate process, which gives each side the whole machine."""
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
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(process.stderr[-3000:])
    print(f"{side}: {process.stdout.splitlines()[-1]}", file=sys.stderr, flush=True)
    measured: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Run all sides, each in a separate process, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=12, help="queries for the comparison of prompts")
    parser.add_argument("--prompts", type=int, default=48, help="prompts for the comparison with offline generate")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side of the second comparison, in turn")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](arguments.model, arguments.number)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_generator(Path(folder), hidden=768, layers=12, context=4096))
        window = _in_process("window", model, arguments.queries)
        rounds = [
            {side: _in_process(side, model, arguments.prompts) for side in ("offline", "ray")}
            for _ in range(arguments.rounds)
        ]
    ratios = [sides["ray"]["tokens_per_second"] / sides["offline"]["tokens_per_second"] for sides in rounds]
    result = {"window": window, "offline": rounds, "ray / offline, tokens per second": ratios}
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2))
    table = Table("one prompt / sliding window, same 50 candidates", "one prompt", "window", "ratio", "target")
    for name, target in (
        ("calls", "at most 0.25"),
        ("prompt_tokens", "at most 0.25"),
        ("queries_per_second", "at least 3"),
    ):
        ours, theirs = window["one prompt"][name], window["window"][name]
        table.add_row(name.replace("_", " "), f"{ours:,.4g}", f"{theirs:,.4g}", f"{window['ratio'][name]:.3f}", target)
    for number, (sides, ratio) in enumerate(zip(rounds, ratios, strict=True), start=1):
        rates = [f"{sides[side]['tokens_per_second']:,.0f}" for side in ("ray", "offline")]
        table.add_row(
            f"tokens per second, Ray Data / offline vLLM, round {number}",
            *rates,
            f"{ratio:.3f}",
            "at least 0.9",
        )
    Console().print(table)
    forms = Table("structured output", "usable answers", "completion tokens per answer")
    for name, side in (("on", "one prompt"), ("off", "free")):
        forms.add_row(
            name, f"{window[side]['usable']} of {window['queries']}", f"{window[side]['written_per_call']:.1f}"
        )
    Console().print(forms)


if __name__ == "__main__":
    main()
