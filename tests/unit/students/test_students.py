"""RRA-BERT: batches, and a saved model that scores as the one in memory."""

import json
import re
import textwrap

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.records import Provenance
from students import export, kinds, rra_bert
from students.batches import bucket_of, chunks_by_bucket, chunks_by_length, list_batch, pad, tokenize
from students.model_card import model_card
from students.scoring import CARD, Scorer, forward_pairs
from students.settings import RraBertSettings, TrainingSettings

PAIRS = [
    ("merge sorted lists", "heapq.merge\nMerge multiple sorted inputs into a single sorted output."),
    ("merge sorted lists", "os.path.join\nJoin two or more pathname components."),
    ("x", ""),
    ("how can i pause", "time.sleep " * 200),
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(model_path("minilm"))


def build():
    torch.manual_seed(0)
    settings = RraBertSettings(base="minilm", max_length=64)
    return settings, rra_bert.build(settings, model_path("minilm")).eval()


def test_segments_tell_query_document_and_special_tokens(tokenizer):
    batch = pad(tokenizer, tokenize(tokenizer, [("sort list", "sorted"), ("a", "b c d")], 16))
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"]]
    assert tokens[0] == ["[CLS]", "sort", "list", "[SEP]", "sorted", "[SEP]", "[PAD]"]
    assert batch["segments"].tolist() == [[0, 1, 1, 0, 2, 0, 0], [0, 1, 0, 2, 2, 2, 0]]


def test_long_pairs_are_cut_to_the_limit(tokenizer):
    assert pad(tokenizer, tokenize(tokenizer, [PAIRS[3]], 32))["input_ids"].shape == (1, 32)


def test_lists_of_different_lengths_and_their_flat_scores():
    batch = list_batch([("q", [("a", 1.0)]), ("p", [("b", 2.0), ("c", 3.0)])])
    assert batch.mask.tolist() == [[True, False], [True, True]]
    assert batch.spread(torch.tensor([7.0, 8.0, 9.0])).tolist() == [[7.0, 0.0], [8.0, 9.0]]
    assert batch.weights.tolist() == [1.0, 1.0]
    assert list_batch([("q", [("a", 1.0)]), ("p", [])], [0.25, 1.0]).weights.tolist() == [0.25, 1.0]


def test_chunks_hold_every_row_once_within_the_budget():
    lengths = [*range(1, 71), 500]
    chunks = chunks_by_length(lengths, budget=256)
    assert sorted(i for chunk in chunks for i in chunk) == list(range(71))
    assert chunks[0] == [70]
    assert all(len(chunk) * max(lengths[i] for i in chunk) <= 256 for chunk in chunks[1:])


def test_chunks_of_one_bucket_are_as_wide_as_the_pair_alone():
    lengths = [*range(1, 71), 100]
    chunks = chunks_by_bucket(lengths, budget=256, max_length=100)
    assert sorted(i for _, chunk in chunks for i in chunk) == list(range(71))
    assert all({bucket_of(lengths[i], 100) for i in chunk} == {width} for width, chunk in chunks)
    assert all(len(chunk) * width <= 256 for width, chunk in chunks)
    assert [bucket_of(tokens, 100) for tokens in (1, 8, 9, 97, 100)] == [8, 8, 16, 100, 100]


def test_a_score_in_bf16_does_not_depend_on_the_rest_of_the_batch(tmp_path):
    settings, model = build()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=0.5)
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, tmp_path / "model", PAIRS)
    scorer = Scorer(tmp_path / "model", "bf16")
    many = [(query, f"{document} {'word ' * n}") for n in range(12) for query, document in PAIRS]
    together = scorer.score(many)
    assert max(abs(scorer.score([pair])[0] - score) for pair, score in zip(many, together, strict=True)) < 2e-5
    assert max(together) - min(together) > 0.1


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_scores_in_bf16_have_no_steps(engine, tmp_path):
    settings, model = build()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=0.5)
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, tmp_path / "model", PAIRS)
    pairs = [(query, f"{document} {'word ' * n}") for n in range(12) for query, document in PAIRS[:3]]
    scores = torch.tensor(Scorer(tmp_path / "model", "bf16", engine).score(pairs))
    assert (scores != scores.bfloat16().float()).float().mean() > 0.9
    assert scores.unique().numel() == len(pairs)


def test_saved_student_scores_the_same_and_so_alone_as_in_a_batch(tmp_path):
    settings, model = build()
    tokenizer = kinds.tokenizer_of(settings, model_path("minilm"))
    export.save(model, tokenizer, settings, tmp_path / "model", PAIRS)
    with torch.inference_mode():
        expected = forward_pairs(model, tokenizer, PAIRS, settings.max_length).tolist()
    scorer = Scorer(tmp_path / "model", "fp32")
    assert scorer.score(PAIRS) == pytest.approx(expected, abs=1e-4)
    assert [scorer.score([pair])[0] for pair in PAIRS] == pytest.approx(expected, abs=1e-4)
    assert scorer.score([]) == []
    assert len({round(score, 3) for score in expected}) == len(PAIRS)
    many = [*PAIRS, *[(f"{query} {n}", document) for n in range(3) for query, document in PAIRS]]
    assert Scorer(tmp_path / "model", "fp32", "onnx").score(many) == pytest.approx(scorer.score(many), abs=1e-4)


def test_a_student_loads_as_a_cross_encoder_with_the_same_scores(tokenizer, tmp_path):
    from sentence_transformers import CrossEncoder

    settings, model = build()
    export.save(model, tokenizer, settings, tmp_path / "model", PAIRS)
    ours = Scorer(tmp_path / "model", "fp32").score(PAIRS)
    encoder = CrossEncoder(str(tmp_path / "model"), device="cpu")
    theirs = encoder.predict(PAIRS, activation_fn=torch.nn.Identity())
    assert ours == pytest.approx(theirs.tolist(), abs=1e-4)


def test_frozen_embeddings_are_all_that_does_not_learn():
    _, model = build()
    model.freeze_embeddings()
    frozen = [name for name, weights in model.named_parameters() if not weights.requires_grad]
    assert len(frozen) == 1
    assert frozen[0].endswith("word_embeddings.weight")


def test_a_model_that_does_not_reload_the_same_is_not_kept(tokenizer, tmp_path, monkeypatch):
    settings, model = build()
    monkeypatch.setattr(Scorer, "score", lambda self, pairs: [1e3] * len(pairs))
    with pytest.raises(export.ParityError):
        export.save(model, tokenizer, settings, tmp_path / "model", PAIRS)
    assert not (tmp_path / "model").exists()


def test_high_scores_may_differ_by_more_and_a_model_without_an_onnx_file_is_kept(
    tokenizer, tmp_path, monkeypatch, caplog
):
    settings = RraBertSettings(base="minilm", max_length=48)
    model = kinds.build(settings, model_path("minilm"))
    written = export.onnx_file.write
    torch.nn.init.normal_(model.classifier.classifier.weight, std=40.0)

    def shifted(by):
        def write(student, tokenizer, folder):
            head = student.classifier.classifier
            head.bias.data += by
            written(student, tokenizer, folder)
            head.bias.data -= by

        return write

    monkeypatch.setattr(export.onnx_file, "write", shifted(3e-4))
    export.save(model, tokenizer, settings, tmp_path / "kept", PAIRS)
    assert max(map(abs, Scorer(tmp_path / "kept", "fp32", "torch").score(PAIRS))) > 10
    monkeypatch.setattr(export.onnx_file, "write", shifted(1.0))
    with pytest.raises(export.ParityError, match="onnxruntime's scores differ by"):
        export.save(model, tokenizer, settings, tmp_path / "lost", PAIRS)

    def refused(*_):
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(export.onnx_file, "write", refused)
    export.save(model, tokenizer, settings, tmp_path / "plain", PAIRS)
    assert not (tmp_path / "plain" / "model.onnx").exists()
    assert "has no model.onnx, as its architecture cannot be written so (no such operator)" in caplog.text
    assert Scorer(tmp_path / "plain", "fp32").score(PAIRS) == pytest.approx(
        Scorer(tmp_path / "kept", "fp32", "torch").score(PAIRS), abs=1e-3
    )


def test_the_card_says_how_the_student_is_loaded_in_words_that_run(tokenizer, tmp_path):
    settings = RraBertSettings(base="minilm", max_length=48)
    export.save(kinds.build(settings, model_path("minilm")), tokenizer, settings, tmp_path / "model", PAIRS)
    made_by = Provenance(teacher="a teacher", fingerprint="f", engine="vllm", targets="tiers", revision="r1")
    card = model_card(settings, TrainingSettings(), made_by, {"lists": 7}, onnx=True)
    for told in (
        "license: other",
        "| teacher | a teacher, revision r1 |",
        "| lists | 7 |",
        "| tokens of query and document | 48 |",
    ):
        assert told in card
    block = card.split("## Loading it\n")[1].split("# where vLLM")[0]
    first, second = re.split(r"(?=import torch\n)", textwrap.dedent(block.strip("\n")))
    expected = Scorer(tmp_path / "model", "fp32", "torch").score(PAIRS)
    for query in {query for query, _ in PAIRS}:
        documents = [document for asked, document in PAIRS if asked == query]
        for part in (first, second):
            held = {"folder": str(tmp_path / "model"), "query": query, "documents": documents}
            exec(part, held)
            found = [score.item() for score in held["scores"]]
            assert found == pytest.approx(
                [score for score, (asked, _) in zip(expected, PAIRS, strict=True) if asked == query], abs=1e-4
            )


def test_a_folder_without_a_student_is_named_and_so_is_one_of_an_older_version(tmp_path):
    with pytest.raises(InputError, match="no student is saved here"):
        Scorer(tmp_path)
    (tmp_path / CARD).write_text('{"name": "old", "head": "interaction", "max_length": 64}')
    with pytest.raises(InputError, match="the `interaction` head of an older version; train it again"):
        Scorer(tmp_path)


def test_a_base_with_a_head_of_more_labels_gets_a_new_one(tokenizer, tmp_path):
    AutoModelForSequenceClassification.from_pretrained(model_path("minilm"), num_labels=3).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = rra_bert.build(RraBertSettings(base=str(tmp_path)), str(tmp_path)).eval()
    with torch.inference_mode():
        assert forward_pairs(model, tokenizer, PAIRS, 64).shape == (len(PAIRS),)


def test_a_base_whose_weights_are_not_of_its_sizes_is_refused(tmp_path):
    base = AutoModel.from_pretrained(model_path("minilm"), num_hidden_layers=1)
    base.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(InputError, match=r"base '\S+': \S+ is not of the size that its configuration says"):
        rra_bert.build(RraBertSettings(base=str(tmp_path)), str(tmp_path))


def test_the_head_keeps_its_weights_in_float32_where_the_rest_is_in_bf16(tmp_path):
    settings, model = build()
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, tmp_path / "model", PAIRS)
    loaded = Scorer(tmp_path / "model", "bf16", "torch").model
    kept = {name for name, weights in loaded.named_parameters() if weights.dtype == torch.float32}
    assert kept == {
        f"classifier.{name}"
        for name in ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias")
    }
    assert all(weights.equal(model.state_dict()[name]) for name, weights in loaded.named_parameters() if name in kept)
