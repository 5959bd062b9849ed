"""RRA-BERT: batches, saving and loading, and the model card."""

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
from students.forward_passes import forward_pairs
from students.model_card import model_card
from students.scoring import CONFIG_FILE, Scorer
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings

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


def test_segments_mark_query_document_and_special_tokens(tokenizer):
    batch = pad(tokenizer, tokenize(tokenizer, [("sort list", "sorted"), ("a", "b c d")], 16))
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"]]
    assert tokens[0] == ["[CLS]", "sort", "list", "[SEP]", "sorted", "[SEP]", "[PAD]"]
    assert batch["segments"].tolist() == [[0, 1, 1, 0, 2, 0, 0], [0, 1, 0, 2, 2, 2, 0]]


def test_long_pairs_are_truncated_to_max_length(tokenizer):
    assert pad(tokenizer, tokenize(tokenizer, [PAIRS[3]], 32))["input_ids"].shape == (1, 32)


def test_list_batch_pads_lists_and_spreads_flat_scores():
    batch = list_batch([("q", [("a", 1.0)]), ("p", [("b", 2.0), ("c", 3.0)])])
    assert batch.mask.tolist() == [[True, False], [True, True]]
    assert batch.spread(torch.tensor([7.0, 8.0, 9.0])).tolist() == [[7.0, 0.0], [8.0, 9.0]]
    assert batch.weights.tolist() == [1.0, 1.0]
    assert list_batch([("q", [("a", 1.0)]), ("p", [])], [0.25, 1.0]).weights.tolist() == [0.25, 1.0]


def test_chunks_contain_each_row_once_within_the_budget():
    lengths = [*range(1, 71), 500]
    chunks = chunks_by_length(lengths, budget=256)
    assert sorted(i for chunk in chunks for i in chunk) == list(range(71))
    assert chunks[0] == [70]
    assert all(len(chunk) * max(lengths[i] for i in chunk) <= 256 for chunk in chunks[1:])


def test_chunk_width_is_the_bucket_of_each_pair():
    lengths = [*range(1, 71), 100]
    chunks = chunks_by_bucket(lengths, budget=256, max_length=100)
    assert sorted(i for _, chunk in chunks for i in chunk) == list(range(71))
    assert all({bucket_of(lengths[i], 100) for i in chunk} == {width} for width, chunk in chunks)
    assert all(len(chunk) * width <= 256 for width, chunk in chunks)
    assert [bucket_of(tokens, 100) for tokens in (1, 8, 9, 97, 100)] == [8, 8, 16, 100, 100]


def test_bf16_score_does_not_depend_on_the_batch(tmp_path):
    settings, model = build()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=0.5)
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, tmp_path / "model", PAIRS)
    scorer = Scorer(tmp_path / "model", "bf16")
    many = [(query, f"{document} {'word ' * n}") for n in range(12) for query, document in PAIRS]
    together = scorer.score(many)
    assert max(abs(scorer.score([pair])[0] - score) for pair, score in zip(many, together, strict=True)) < 2e-5
    assert max(together) - min(together) > 0.1


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bf16_scores_are_not_rounded_to_bf16(engine, tmp_path):
    settings, model = build()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=0.5)
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, tmp_path / "model", PAIRS)
    pairs = [(query, f"{document} {'word ' * n}") for n in range(12) for query, document in PAIRS[:3]]
    scores = torch.tensor(Scorer(tmp_path / "model", "bf16", engine).score(pairs))
    assert (scores != scores.bfloat16().float()).float().mean() > 0.9
    assert scores.unique().numel() == len(pairs)


def test_saved_student_gives_the_same_scores_alone_and_in_a_batch(tmp_path):
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


def test_student_gives_the_same_scores_as_a_cross_encoder(tokenizer, tmp_path):
    from sentence_transformers import CrossEncoder

    settings, model = build()
    export.save(model, tokenizer, settings, tmp_path / "model", PAIRS)
    ours = Scorer(tmp_path / "model", "fp32").score(PAIRS)
    encoder = CrossEncoder(str(tmp_path / "model"), device="cpu")
    theirs = encoder.predict(PAIRS, activation_fn=torch.nn.Identity())
    assert ours == pytest.approx(theirs.tolist(), abs=1e-4)


def test_freeze_embeddings_freezes_nothing_else():
    _, model = build()
    model.freeze_embeddings()
    frozen = [name for name, weights in model.named_parameters() if not weights.requires_grad]
    assert len(frozen) == 1
    assert frozen[0].endswith("word_embeddings.weight")


def test_model_with_different_scores_after_loading_is_removed(tokenizer, tmp_path, monkeypatch):
    settings, model = build()
    monkeypatch.setattr(Scorer, "score", lambda self, pairs: [1e3] * len(pairs))
    with pytest.raises(export.ParityError):
        export.save(model, tokenizer, settings, tmp_path / "model", PAIRS)
    assert not (tmp_path / "model").exists()


def test_parity_tolerance_scales_with_scores_and_onnx_is_optional(tokenizer, tmp_path, monkeypatch, caplog):
    settings = RraBertSettings(base="minilm", max_length=48)
    model = kinds.build(settings, model_path("minilm"))
    original = export.onnx_file.write
    torch.nn.init.normal_(model.classifier.classifier.weight, std=40.0)

    def shifted(by):
        def write(student, tokenizer, folder):
            head = student.classifier.classifier
            head.bias.data += by
            original(student, tokenizer, folder)
            head.bias.data -= by

        return write

    monkeypatch.setattr(export.onnx_file, "write", shifted(3e-4))
    export.save(model, tokenizer, settings, tmp_path / "kept", PAIRS)
    assert max(map(abs, Scorer(tmp_path / "kept", "fp32", "torch").score(PAIRS))) > 10
    monkeypatch.setattr(export.onnx_file, "write", shifted(1.0))
    with pytest.raises(export.ParityError, match="onnxruntime's scores differ by"):
        export.save(model, tokenizer, settings, tmp_path / "lost", PAIRS)

    def unsupported(*_):
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(export.onnx_file, "write", unsupported)
    export.save(model, tokenizer, settings, tmp_path / "plain", PAIRS)
    assert not (tmp_path / "plain" / "model.onnx").exists()
    assert "cannot export its architecture to model.onnx (no such operator)" in caplog.text
    assert Scorer(tmp_path / "plain", "fp32").score(PAIRS) == pytest.approx(
        Scorer(tmp_path / "kept", "fp32", "torch").score(PAIRS), abs=1e-3
    )


def test_code_in_the_model_card_gives_the_same_scores(tokenizer, tmp_path):
    settings = RraBertSettings(base="minilm", max_length=48)
    export.save(kinds.build(settings, model_path("minilm")), tokenizer, settings, tmp_path / "model", PAIRS)
    provenance = Provenance(teacher="a teacher", fingerprint="f", engine="vllm", targets="tiers", revision="r1")
    card = model_card(settings, TrainingSettings(), provenance, {"lists": 7}, onnx=True)
    pinned = settings.model_copy(update={"base": "a/b", "revision": "v1"})
    assert "| base | a/b, revision v1 |" in model_card(pinned, TrainingSettings(), provenance, {}, onnx=True)
    for line in (
        "license: other",
        "| teacher | a teacher, revision r1 |",
        "| lists | 7 |",
        "| maximum tokens of query and document | 48 |",
    ):
        assert line in card
    block = card.split("## Usage\n")[1].split("# If vLLM")[0]
    first, second = re.split(r"(?=import torch\n)", textwrap.dedent(block.strip("\n")))
    expected = Scorer(tmp_path / "model", "fp32", "torch").score(PAIRS)
    for query in {query for query, _ in PAIRS}:
        documents = [document for other, document in PAIRS if other == query]
        for part in (first, second):
            variables = {"folder": str(tmp_path / "model"), "query": query, "documents": documents}
            exec(part, variables)
            scores = [score.item() for score in variables["scores"]]
            assert scores == pytest.approx(
                [score for score, (other, _) in zip(expected, PAIRS, strict=True) if other == query], abs=1e-4
            )


def test_folder_without_a_supported_student_is_rejected(tmp_path):
    with pytest.raises(InputError, match="not a saved student"):
        Scorer(tmp_path)
    (tmp_path / CONFIG_FILE).write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        Scorer(tmp_path)


def test_base_with_several_labels_gets_a_new_head(tokenizer, tmp_path):
    AutoModelForSequenceClassification.from_pretrained(model_path("minilm"), num_labels=3).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = rra_bert.build(RraBertSettings(base=str(tmp_path)), str(tmp_path)).eval()
    with torch.inference_mode():
        assert forward_pairs(model, tokenizer, PAIRS, 64).shape == (len(PAIRS),)


def test_base_with_mismatched_weight_sizes_is_rejected(tmp_path):
    base = AutoModel.from_pretrained(model_path("minilm"), num_hidden_layers=1)
    base.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(InputError, match=r"base '\S+': the size of \S+ differs from its configuration"):
        rra_bert.build(RraBertSettings(base=str(tmp_path)), str(tmp_path))


def test_head_weights_stay_in_float32_in_bf16(tmp_path):
    settings, model = build()
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, tmp_path / "model", PAIRS)
    loaded = Scorer(tmp_path / "model", "bf16", "torch").model
    in_float32 = {name for name, weights in loaded.named_parameters() if weights.dtype == torch.float32}
    assert in_float32 == {
        f"classifier.{name}"
        for name in ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias")
    }
    assert all(
        weights.equal(model.state_dict()[name]) for name, weights in loaded.named_parameters() if name in in_float32
    )
