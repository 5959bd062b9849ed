"""Pairwise, setwise and query likelihood teachers on a real vLLM engine with random weights."""

import asyncio

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.teachers.comparing.choice_requests import ChoiceFiller, ChoiceRequester, choice_id_of
from actors.teachers.comparing.comparing_settings import PairwiseTeacherSettings, SetwiseTeacherSettings
from actors.teachers.comparing.comparison_outcomes import outcome_of_comparisons
from actors.teachers.comparing.comparison_ranking import ListComparer
from actors.vllm.crash_log import CrashLog
from actors.vllm.engine import VllmEngine
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.choice_prompts import load_choice_prompt
from ranking.records import Label, Provenance
from ranking.storage.folder import Folder
from tests.testing.fact_runs import label_facts
from tests.testing.metrics import wait_for_total
from tests.testing.pre_ranked_lists import pre_ranked_list
from tools.tiny_models import tiny_generator

ENGINE = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True, "max_num_seqs": 16}
PROVENANCE = Provenance(teacher="t", fingerprint="f", engine="vllm", targets="scores")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A decoder with random weights."""
    return tiny_generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture(scope="module")
def reference(model):
    """The same decoder in transformers: maps token ids to logits, [tokens, vocabulary]."""
    generator = AutoModelForCausalLM.from_pretrained(model).eval()

    def logits(ids):
        with torch.inference_mode():
            return generator(torch.tensor([ids])).logits[0]

    return logits


@pytest.fixture(scope="module")
def loop():
    """The event loop of the engine, which all its requests must use."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engine(model, loop, tmp_path_factory):
    """A vLLM engine with the decoder."""

    async def start():
        crash_log = CrashLog(Folder(tmp_path_factory.mktemp("crashes")))
        return VllmEngine(str(model), None, "generate", ENGINE, 0, crash_log)

    started = loop.run(start())
    yield started
    started.close()


@pytest.fixture
def label_of(engine, loop, tmp_path):
    """Return a function that labels a list with the engine."""

    def label(settings, row):
        filler = ChoiceFiller(load_choice_prompt(settings.prompt_file), settings)
        requester = ChoiceRequester(settings, filler, ResponseCache(Folder(tmp_path)), engine.generate)
        compared = loop.run(ListComparer(row, settings, requester).rank())
        return outcome_of_comparisons(row, compared, settings, PROVENANCE).row

    return label


def test_every_answer_of_a_constrained_teacher_is_a_letter(model, label_of):
    label = label_of(PairwiseTeacherSettings(model=str(model), pairs=4), pre_ranked_list(10))
    assert (label.answer.parse_status, label.answer.unusable, label.answer.comparisons) == ("ok", 0, 40)
    assert set(label.answer.raw.replace(" ", "").split("\n")) <= {"A", "B"}
    assert label.usage.completion_tokens == 40


def test_setwise_teacher_lists_the_top(model, label_of):
    settings = SetwiseTeacherSettings(model=str(model), top=3, size=4, answer="logprobs")
    label = label_of(settings, pre_ranked_list(10))
    assert sorted(c.position for c in label.candidates if c.position) == [1, 2, 3]
    assert (label.answer.unusable, label.answer.missing) == (0, 7)


def test_win_rates_equal_the_probabilities_of_transformers(model, label_of, reference):
    row = pre_ranked_list(4)
    label = label_of(PairwiseTeacherSettings(model=str(model), answer="logprobs", scores="win_rate"), row)
    tokenizer, prompt = AutoTokenizer.from_pretrained(model), load_choice_prompt()
    letters = tokenizer.convert_tokens_to_ids(["A", "B"])

    def first_is_better(shown):
        texts = [row.picked[index].candidate.text for index in shown]
        messages = prompt.messages(row.text, texts, f"{choice_id_of(row, shown)} 1")
        filled = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return float(reference(tokenizer.encode(filled, add_special_tokens=False))[-1][letters].softmax(0)[0])

    expected = []
    for one in range(4):
        others = [other for other in range(4) if other != one]
        shares = [(first_is_better((one, other)) + 1 - first_is_better((other, one))) / 2 for other in others]
        expected.append(sum(shares) / 3)
    targets = [candidate.target for candidate in label.candidates]
    assert max(targets) - min(targets) > 1e-4
    assert targets == pytest.approx(expected, abs=1e-4)


def test_log_likelihood_equals_that_of_transformers(engine, loop, reference):
    ids, start = list(range(20, 60)), 33
    total, count = loop.run(engine.log_likelihood(ids, start))
    logs = reference(ids)[start - 1 : -1].log_softmax(-1)
    expected = logs.gather(1, torch.tensor(ids[start:])[:, None]).sum()
    assert (float(total), count) == (pytest.approx(float(expected), abs=1e-3), 7)


def test_pairwise_labels_are_written_and_counted(model, finished, settings, cluster):
    teacher = {"kind": "pairwise", "model": str(model), "pairs": 2, "engine": ENGINE}
    folder, manifest = label_facts("pairwise", teacher, finished, settings, cluster)
    labels = list((folder / "labels").read_rows(Label))
    assert len(labels) == manifest.rows_in > 0
    assert all(row.answer.comparisons == 2 * len(row.candidates) > 4 for row in labels)
    assert manifest.tokens.prompt == sum(row.usage.prompt_tokens for row in labels)
    first = sum(row.answer.first_chosen for row in labels)
    metric = "ray_rradistill_label_comparisons_total"
    assert wait_for_total(cluster["METRICS"], first, metric, f'teacher="{model}"', 'chosen="first"') == first
