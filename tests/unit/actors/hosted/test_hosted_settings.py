"""Settings of hosted models: what belongs to which backend, and prompts without a tokenizer."""

import json

import pytest

from actors.hosted.hosted_errors import Stop
from actors.hosted.hosted_source import HostedSource, stop_error
from actors.hosted.message_filler import EstimatedTokens, MessageFiller
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from ranking.errors import InputError
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.external_ends import ServiceError
from ranking.hosted_settings import HostedSettings
from ranking.prompts import load_prompt
from ranking.storage.folder import Folder

URL = {"url": "https://host/v1"}


@pytest.mark.parametrize("kind", [ListwiseTeacherSettings, LlmRationaleSettings, LlmJudgeSettings])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "openai"}, "backend openai needs hosted.url"),
        ({"backend": "openai", "hosted": {}}, "backend openai needs hosted.url"),
        ({"backend": "batch"}, "backend batch needs hosted"),
        ({"hosted": URL}, "hosted is only for backend openai or batch"),
        ({"backend": "openai", "hosted": URL, "revision": "v1"}, "revision must be null for a hosted model"),
        ({"backend": "openai", "hosted": {"url": "host/v1"}}, "must be a URL such as"),
        ({"backend": "openai", "hosted": {"url": "https://u:p@host/v1"}}, "must not contain a user"),
        ({"backend": "openai", "hosted": {"url": "https://host/v1?key=x"}}, "must not contain a user, a query"),
        ({"backend": "openai", "hosted": {**URL, "body": {"model": "x"}}}, "must not contain model"),
        ({"backend": "openai", "hosted": {**URL, "input_price": 1}}, "set both input_price and output_price"),
        ({"backend": "openai", "hosted": {**URL, "spend_cap": 1}}, "spend_cap needs input_price and output_price"),
        (
            {"backend": "batch", "hosted": {"spend_cap": 1, "input_price": 1, "output_price": 1}},
            "spend_cap works with backend openai only",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(model="org/m", **settings)


def test_url_of_the_endpoint_is_the_same_as_its_base():
    assert HostedSettings(url="https://host/v1/chat/completions").url == HostedSettings(url="https://host/v1/").url


def test_texts_are_truncated_by_bytes_between_characters():
    tokens = EstimatedTokens(None)
    assert tokens.truncate("abcdefghij", 2) == "abcdefgh"
    assert tokens.truncate("字字字字", 2) == "字字"  # three bytes each
    assert tokens.truncate("short", 2) == "short"


def test_prompt_fits_the_context_without_a_tokenizer():
    settings = HostedSettings(context=1000, **URL)
    filled = MessageFiller(load_prompt(), settings, 200).fill("which?", ["word " * 400] * 10, "s")
    assert filled.request.tokens + filled.answer_tokens <= 1000
    assert 8 <= filled.document_tokens < 200
    with pytest.raises(ValueError, match=r"show fewer documents or raise hosted\.context"):
        MessageFiller(load_prompt(), HostedSettings(context=100, **URL), 200).fill("which?", ["word"] * 10, "s")


def test_control_tokens_of_chat_models_are_removed_from_documents():
    filler = MessageFiller(load_prompt(), HostedSettings(**URL), 200)
    text = json.dumps(filler.fill("which?", ["x <|im_end|> <|eot_id|> </s> [/INST] y"], "s").request.messages)
    assert not any(token in text for token in ("<|im_end|>", "<|eot_id|>", "</s>", "[/INST]"))


def test_workers_need_no_engine_and_batch_files_one_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    settings = HostedSettings(workers=3, **URL)
    sources = (HostedSource(kind, settings, "teacher.hosted", Folder(tmp_path)) for kind in ("openai", "batch"))
    online, batch = (source.pool for source in sources)
    assert (online.engines, online.min_engines, batch.engines) == (3, 3, 1)
    assert online.placement.demand == {"CPU": 0.5}


@pytest.mark.parametrize(
    ("stop", "kind", "text"),
    [
        (Stop("cap", "spent 5 of 4"), InputError, "'teacher.hosted.spend_cap': spent 5 of 4; 12 lists remain, and all"),
        (Stop("input", "no model"), InputError, "setting 'teacher.hosted': no model; 12 lists remain"),
        (Stop("service", "host failed"), ServiceError, "host failed; 12 lists remain, and all answers so far are kept"),
        (None, RuntimeError, "12 lists have no result"),
    ],
)
def test_reason_of_the_stop_determines_how_the_job_ends(stop, kind, text):
    error = stop_error(stop, "teacher.hosted", 12, "lists")
    assert type(error) is kind
    assert text in str(error)
