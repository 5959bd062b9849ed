"""Exported labels, read back by small readers that follow the documentation of the other libraries."""

import json
import math

import pytest
from datasets import load_dataset
from pydantic import ValidationError
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import LambdaLoss, ListNetLoss

from ranking.errors import InputError
from ranking.evaluation.rank_llm import read_rank_llm
from ranking.labels.export_settings import ExportSettings
from ranking.labels.label_export import FORMATS, LabelExport, split_by_relevance
from ranking.labels.targets import tiers_from_order
from ranking.records import Candidate
from tests.testing.synthetic_labels import label_of
from tools.tiny_models import tiny_xlm_roberta

BINARY = ("flag_embedding", "ms_swift")


def export(path, labels, **settings):
    """Write a file and return the export."""
    exported = LabelExport(ExportSettings(**settings))
    lines = exported.lines(labels, as_array=path.suffix == ".json")
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return exported


def read_flag_embedding(path):
    """Read (query, positives, negatives) as FlagEmbedding's AbsRerankerTrainDataset does, which needs one of each."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(isinstance(row[name], list) and row[name] for row in rows for name in ("pos", "neg"))
    for row in rows:
        for texts, scores in (("pos", "pos_scores"), ("neg", "neg_scores")):
            assert scores not in row or len(row[texts]) == len(row[scores])
    return [(row["query"], row["pos"], row["neg"]) for row in rows]


def read_ms_swift(path):
    """Read (query, positives, negatives) of ms-swift: one user message, and a list of messages per document."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def texts(conversations):
        assert all(len(messages) == 1 and messages[0]["role"] == "assistant" for messages in conversations)
        return [messages[0]["content"] for messages in conversations]

    assert all(row.keys() == {"messages", "positive_messages", "negative_messages"} for row in rows)
    assert all([message["role"] for message in row["messages"]] == ["user"] for row in rows)
    return [
        (row["messages"][0]["content"], texts(row["positive_messages"]), texts(row["negative_messages"]))
        for row in rows
    ]


READERS = {"flag_embedding": read_flag_embedding, "ms_swift": read_ms_swift}


@pytest.mark.parametrize("name", BINARY)
def test_listed_documents_are_positives_and_omitted_ones_negatives(name, tmp_path):
    path = tmp_path / "labels.jsonl"
    exported = export(path, [label_of(["d5", "d1"])], format=name)
    assert READERS[name](path) == [("which metal?", ["text 5", "text 1"], ["text 2", "text 3", "text 4", "text 6"])]
    assert (exported.written, exported.skipped) == (1, 0)


@pytest.mark.parametrize("name", BINARY)
def test_lists_without_positive_or_negative_are_skipped_and_counted(name, tmp_path):
    path = tmp_path / "labels.jsonl"
    everything = label_of([f"d{n}" for n in range(1, 7)])
    exported = export(path, [everything, label_of(["d1"])], format=name)
    assert (len(READERS[name](path)), exported.written, exported.skipped) == (1, 1, 1)
    with pytest.raises(InputError, match="none of the 1 labels can be exported; none has a positive and a negative"):
        export(path, [everything], format=name)


@pytest.mark.parametrize(
    ("settings", "positives", "negatives"),
    [
        ({"max_positive_rank": 1}, ["d5"], ["d2", "d4", "d6"]),
        ({"max_positive_rank": 1, "min_negative_rank": 3}, ["d5"], ["d2", "d3", "d4", "d6"]),
        ({"min_negative_rank": 2}, ["d5", "d1", "d3"], ["d2", "d4", "d6"]),
        ({"negative_tiers": ["easy_negative"]}, ["d5", "d1", "d3"], ["d4", "d6"]),
        ({"negative_tiers": ["hard_negative"]}, ["d5", "d1", "d3"], ["d2"]),
        ({"max_negatives": 2}, ["d5", "d1", "d3"], ["d2", "d4"]),
    ],
)
def test_ranks_and_tiers_choose_positives_and_negatives(settings, positives, negatives):
    chosen = split_by_relevance(label_of(["d5", "d1", "d3"]), ExportSettings(**settings))
    assert [[candidate.doc_id for candidate in part] for part in chosen] == [positives, negatives]


@pytest.mark.parametrize(
    ("settings", "positives", "negatives"),
    [
        ({}, ["d2", "d1"], ["d3", "d4"]),
        ({"min_positive_score": 0}, ["d2"], ["d1", "d3", "d4"]),
        ({"min_positive_score": -1, "max_negative_score": -3}, ["d2", "d1"], ["d4"]),
        ({"max_positive_rank": 1}, ["d2"], ["d3", "d4"]),
    ],
)
def test_scores_choose_positives_and_negatives(settings, positives, negatives):
    label = label_of(["d2", "d1", "d3", "d4"], documents=4, targets="scores")  # scores 0, -1, -2, -3
    chosen = split_by_relevance(label, ExportSettings(**settings))
    assert [[candidate.doc_id for candidate in part] for part in chosen] == [positives, negatives]


def test_score_thresholds_need_labels_with_scores():
    with pytest.raises(InputError, match=r"'export\.min_positive_score': the labels have tiers, not scores"):
        split_by_relevance(label_of(["d1"]), ExportSettings(min_positive_score=0.5))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_positive_rank": 3, "min_negative_rank": 3},
        {"min_positive_score": 0, "max_negative_score": 0},
        {"output": "labels.tsv"},
        {"output": "folder/"},
        {"negative_tiers": ["unseen"]},
        {"max_negatives": 0},
    ],
)
def test_contradictory_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        ExportSettings(**settings)


def test_flag_embedding_has_scores_only_for_labels_with_scores():
    settings = ExportSettings(format="flag_embedding")
    scored = FORMATS["flag_embedding"](label_of(["d2", "d1"], documents=2, targets="scores"), settings)
    assert (scored["pos_scores"], scored["neg_scores"]) == ([0.0], [-1.0])
    assert FORMATS["flag_embedding"](label_of(["d1"]), settings).keys() == {"query", "pos", "neg"}


@pytest.mark.parametrize("name", FORMATS)
def test_unseen_documents_and_titles(name):
    picked = [
        (Candidate(doc_id=f"d{n}", title="Title", text=f"text {n}", rank=n, score=1.0, retriever="r"), n, True)
        for n in (1, 2, 3)
    ]
    candidates = tiers_from_order(picked, ["d2"], shown=["d1", "d2"])
    label = label_of(["d1"]).model_copy(update={"candidates": candidates})
    label = label.model_copy(update={"answer": label.answer.model_copy(update={"missing": 1})})
    text = json.dumps(FORMATS[name](label, ExportSettings(format=name)))
    assert "text 3" not in text
    assert text.index("text 2") < text.index("text 1")
    assert ("Title\\ntext 2" if name != "rank_llm" else '{"title": "Title", "text": "text 2"}') in text


@pytest.mark.parametrize(
    ("scale", "tiers", "scores"),
    [("unit", [1.0, 2 / 3, 1 / 3, 0.0], [1.0, 0.5, 0.0]), ("none", [3.0, 2.0, 1.0, 0.0], [0.0, -1.0, -2.0])],
)
def test_labels_of_labelled_lists(scale, tiers, scores):
    settings = ExportSettings(scale=scale)
    row = FORMATS["sentence_transformers"](label_of(["d3", "d1"], documents=4, pre_ranks=[1, 2, 3, 4]), settings)
    assert row["docs"] == ["text 3", "text 1", "text 2", "text 4"]
    assert row["labels"] == pytest.approx(tiers)
    row = FORMATS["sentence_transformers"](label_of(["d3", "d1", "d2"], documents=3, targets="scores"), settings)
    assert row == {"query": "which metal?", "docs": ["text 3", "text 1", "text 2"], "labels": pytest.approx(scores)}


@pytest.mark.parametrize("name", ["sentence_transformers", "rank_llm"])
def test_lists_without_a_preference_are_skipped(name, tmp_path):
    equal = label_of(["d1"], documents=1)
    exported = export(tmp_path / "labels.jsonl", [equal, label_of(["d1"])], format=name)
    assert (exported.written, exported.skipped) == (1, 1)
    with pytest.raises(InputError, match="none prefers one document to another"):
        export(tmp_path / "labels.jsonl", [equal], format=name)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_rank_llm_rankings_read_back(suffix, tmp_path):
    """RankLLM's dataclasses: Request(query: Query(text, qid), candidates: [Candidate(docid, score: float, doc)])."""
    path = tmp_path / f"ranked.{suffix}"
    labels = [label_of(["d3", "d1"]), label_of(["d2"]).model_copy(update={"query_id": "p"})]
    export(path, labels, format="rank_llm")
    text = path.read_text(encoding="utf-8")
    requests = json.loads(text) if suffix == "json" else [json.loads(line) for line in text.splitlines()]
    assert [request.keys() for request in requests] == [{"query", "candidates"}] * 2
    assert [request["query"] for request in requests] == [{"text": "which metal?", "qid": qid} for qid in ("q", "p")]
    candidates = requests[0]["candidates"]
    assert [candidate["docid"] for candidate in candidates] == ["d3", "d1", "d2", "d4", "d5", "d6"]
    assert [candidate["score"] for candidate in candidates] == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert all(isinstance(candidate["score"], float) for candidate in candidates)
    assert candidates[0]["doc"] == {"title": "", "text": "text 3"}
    assert list(read_rank_llm(path)["q"]) == ["d3", "d1", "d2", "d4", "d5", "d6"]


def test_line_separators_in_texts_do_not_split_lines(tmp_path):
    path = tmp_path / "labels.jsonl"
    query = "one\u2028two\u2029three\x85four\nfünf"
    export(path, [label_of(["d1"]).model_copy(update={"query": query})], format="flag_embedding")
    assert [read[0] for read in read_flag_embedding(path)] == [query]


@pytest.mark.parametrize(("suffix", "loss"), [("jsonl", LambdaLoss), ("json", ListNetLoss)])
def test_cross_encoder_trains_a_step_on_labelled_lists(suffix, loss, tmp_path):
    path = tmp_path / f"labels.{suffix}"
    labels = [label_of(["d3", "d1"]), label_of(["d2", "d1", "d3"], documents=3, targets="scores")]
    export(path, labels)
    dataset = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset.column_names == ["query", "docs", "labels"]
    assert [len(row["docs"]) for row in dataset] == [len(row["labels"]) for row in dataset] == [6, 3]
    model = CrossEncoder(str(tiny_xlm_roberta(tmp_path / "model")), num_labels=1, device="cpu")
    before = model.predict([("which metal?", "text 1")])[0]
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(tmp_path / "out"),
        per_device_train_batch_size=2,
        max_steps=1,
        learning_rate=1e-3,
        warmup_steps=0,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    result = CrossEncoderTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss(model)).train()
    assert result.global_step == 1
    assert math.isfinite(result.training_loss)
    assert result.training_loss > 0
    assert model.predict([("which metal?", "text 1")])[0] != before
