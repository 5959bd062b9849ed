"""Checks of base models, losses and labels before training starts."""

import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoTokenizer

from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from ray_jobs.training.settings_check import check_fit
from ray_jobs.training.training_labels import first_label
from students import kinds
from students.bases import check_base
from students.input_limits import max_positions
from students.student_settings import RraBertSettings, RraGptSettings
from students.training_settings import TrainingSettings
from tests.testing.synthetic_labels import label_of
from tools.tiny_models import tiny_generator


@pytest.fixture
def base(tmp_path):
    """Write a base model with a configuration, a tokenizer and a weights file with one small tensor."""
    AutoConfig.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    save_file({"tensor": torch.zeros(1)}, tmp_path / "model.safetensors")  # check_base does not need the others
    return tmp_path


def error_of(base, **settings):
    """Return the error message of check_base."""
    with pytest.raises(InputError) as error:
        check_base(str(base), RraBertSettings(name="s", base=str(base), **settings))
    return str(error.value)


def test_max_length_up_to_the_positions_of_the_base_passes(base):
    check_base(str(base), RraBertSettings(base=str(base), max_length=512))
    assert error_of(base, max_length=513).endswith("max_length 513 exceeds the model's 512 positions")


def test_term_control_layer_must_exist_in_the_base(base):
    for layer in (-7, 0, 6):
        check_base(
            str(base), RraBertSettings(base=str(base), max_length=64, term_control={"form": "layer", "layer": layer})
        )
    for layer in (-8, 7):
        wrong = error_of(base, max_length=64, term_control={"form": "layer", "layer": layer})
        assert wrong.endswith(
            f"term_control.layer {layer} does not exist; choose 0 (the embeddings) to 6, or -1 for the last layer"
        )


def test_error_names_the_missing_part_of_a_base(base, tmp_path):
    assert "the folder has no config.json" in error_of(tmp_path / "..")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(base)
    assert "the tokenizer has no pad token" in error_of(base)
    (base / "config.json").write_text("{}")
    assert "its configuration cannot be read" in error_of(base)


def test_roberta_positions_start_after_the_padding_index():
    for kind in ("roberta", "mpnet", "xlm-roberta-xl", "roberta-prelayernorm"):
        config = AutoConfig.for_model(kind, max_position_embeddings=514, pad_token_id=1)
        assert max_positions(config) == 512


def test_unsuitable_bases_are_rejected(base, tmp_path_factory):
    changed = AutoConfig.from_pretrained(base)
    changed.type_vocab_size = 1
    changed.save_pretrained(base)
    assert "marks query and document with token_type_ids, but it has embeddings for only 1" in error_of(
        base, max_length=64
    )
    changed.type_vocab_size, changed.vocab_size = 2, 2000
    changed.save_pretrained(base)
    assert "its tokenizer has token IDs beyond its 2,000 embeddings" in error_of(base, max_length=64)
    (base / "model.safetensors").unlink()
    assert error_of(base, max_length=64).endswith(
        "the folder has no weights, such as model.safetensors; save the model with save_pretrained"
    )
    decoder = tiny_generator(tmp_path_factory.mktemp("decoder"))
    assert error_of(decoder, max_length=64).endswith("qwen3 is a decoder; choose an encoder, or kind: rra_gpt")
    with pytest.raises(
        InputError, match="bert is not a decoder with a `score` layer; choose a decoder, or kind: rra_bert"
    ):
        check_base(model_path("minilm"), RraGptSettings(base="minilm", max_length=64, rationale_weight=0))


def test_unreadable_weights_are_reported_with_the_base(base):
    (base / "model.safetensors").write_bytes(b"")
    assert "model.safetensors is cut short" in error_of(base, max_length=64)
    with pytest.raises(InputError, match=f"base '{base}': cannot build a student from its weights"):
        kinds.build(RraBertSettings(base=str(base)), str(base))


def test_decoder_needs_positions_and_an_end_token_for_auxiliary_tasks(tmp_path):
    base = str(tiny_generator(tmp_path, context=128))
    with pytest.raises(
        InputError,
        match=r"max_length 100 plus \d+ tokens .* exceeds the model's 128 positions; lower max_length",
    ):
        check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=40))
    check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=10))
    check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=40, rationale_weight=0))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(base)
    with pytest.raises(
        InputError,
        match="its tokenizer has no end-of-text token to end a rationale; set one, or rationale_weight: 0",
    ):
        check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=10))
    check_base(base, RraGptSettings(base=base, max_length=100, rationale_weight=0))


def test_base_without_a_tokenizer_is_reported(tmp_path):
    AutoConfig.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    assert error_of(tmp_path).endswith(
        "its tokenizer has no vocabulary; add tokenizer.json, or the files that it is built from"
    )


def test_info_nce_needs_judgements():
    for targets in ("tiers", "scores"):
        with pytest.raises(
            InputError,
            match=r"info_nce contrasts relevant with irrelevant candidates.*or set training.targets to judgements",
        ):
            check_fit(RraBertSettings(), TrainingSettings(loss="info_nce"), targets)
    check_fit(RraBertSettings(), TrainingSettings(loss="info_nce", targets="judgements"), "grades")


def test_score_losses_need_labels_with_scores():
    with pytest.raises(
        InputError, match="margin_mse needs teacher scores, but these labels only contain an order; use ranknet"
    ):
        check_fit(RraBertSettings(), TrainingSettings(loss="margin_mse"), "tiers")


def test_missing_or_outdated_labels_are_reported(tmp_path):
    folder = Folder(tmp_path / "labels")
    with pytest.raises(InputError, match=r"there are no labels; run ray_jobs\.label first"):
        first_label(folder)
    folder.write_rows("part-1.parquet", [label_of(["d1"])])
    assert first_label(folder).query_id == "q"
    table = folder.read_table("part-1.parquet")
    folder.write_table(
        "part-1.parquet", table.rename_columns(["id" if name == "query_id" else name for name in table.column_names])
    )
    with pytest.raises(
        InputError,
        match=r"part-1.parquet: written by another version \(query_id: field required\); run ray_jobs.label again",
    ):
        first_label(folder)
    folder.write_table("part-1.parquet", table)
    folder.write_table("part-2.parquet", table.drop_columns(["confidence"]))
    with pytest.raises(
        InputError,
        match=r"part-2.parquet: written by another version \(no column 'confidence'\); run ray_jobs.label again",
    ):
        first_label(folder)
    folder.remove("part-1.parquet")
    folder.write_table(
        "part-2.parquet", table.set_column(2, "candidates", pa.array([[]] * table.num_rows, table.schema.field(2).type))
    )
    with pytest.raises(
        InputError, match=r"part-2.parquet: written by another version \(candidates: list should have at least 1 item"
    ):
        first_label(folder)
