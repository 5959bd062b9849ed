"""What is wrong with a student's base is said before anything starts, and what is wrong with labels too."""

import pyarrow as pa
import pytest
from transformers import AutoConfig, AutoTokenizer

from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from ray_jobs.train import check_fit
from ray_jobs.training.training_labels import first_label
from students import kinds
from students.bases import check_base, positions
from students.settings import RraBertSettings, RraGptSettings, TrainingSettings
from tests.unit.ranking.labels.test_rationales import label_of
from tools.tiny_models import tiny_generator


@pytest.fixture
def base(tmp_path):
    """A base with a configuration and a tokenizer."""
    AutoConfig.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")  # nobody looks into it yet
    return tmp_path


def said(base, **settings):
    with pytest.raises(InputError) as error:
        check_base(str(base), RraBertSettings(name="s", base=str(base), **settings))
    return str(error.value)


def test_a_good_base_passes_up_to_its_last_position(base):
    check_base(str(base), RraBertSettings(base=str(base), max_length=512))
    assert said(base, max_length=513).endswith("max_length 513 is more than the 512 positions that it has")


def test_the_layer_of_the_term_control_layer_is_one_that_there_is(base):
    for layer in (-7, 0, 6):
        check_base(
            str(base), RraBertSettings(base=str(base), max_length=64, term_control={"form": "layer", "layer": layer})
        )
    for layer in (-8, 7):
        wrong = said(base, max_length=64, term_control={"form": "layer", "layer": layer})
        assert wrong.endswith(
            f"term_control.layer {layer} is none of its layers, 0 (the embeddings) to 6, or -1 for the last"
        )


def test_what_a_base_lacks_is_named(base, tmp_path):
    assert "the folder holds no config.json" in said(tmp_path / "..")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(base)
    assert "its tokenizer has no pad token" in said(base)
    (base / "config.json").write_text("{}")
    assert "its configuration cannot be read" in said(base)


def test_positions_of_roberta_begin_behind_padding():
    for kind in ("roberta", "mpnet", "xlm-roberta-xl", "roberta-prelayernorm"):
        config = AutoConfig.for_model(kind, max_position_embeddings=514, pad_token_id=1)
        assert positions(config) == 512


def test_a_base_that_no_student_can_be_made_of_is_refused(base, tmp_path_factory):
    changed = AutoConfig.from_pretrained(base)
    changed.type_vocab_size = 1
    changed.save_pretrained(base)
    assert "tells query and document apart by token_type_ids, and it has embeddings for 1 of them" in said(
        base, max_length=64
    )
    changed.type_vocab_size, changed.vocab_size = 2, 2000
    changed.save_pretrained(base)
    assert "its tokenizer has tokens beyond the 2,000 of its embeddings" in said(base, max_length=64)
    (base / "model.safetensors").unlink()
    assert said(base, max_length=64).endswith(
        "the folder holds no weights; a model saved with save_pretrained has model.safetensors"
    )
    decoder = tiny_generator(tmp_path_factory.mktemp("decoder"))
    assert said(decoder, max_length=64).endswith("qwen3 is a decoder; the student's kind must be rra_gpt")
    with pytest.raises(
        InputError, match="bert has no layer `score` on its last token; a decoder is needed, or kind: rra_bert"
    ):
        check_base(model_path("minilm"), RraGptSettings(base="minilm", max_length=64, rationale_weight=0))


def test_weights_that_cannot_be_read_are_named(base):
    check_base(str(base), RraBertSettings(base=str(base), max_length=64))
    with pytest.raises(InputError, match=f"base '{base}': no student can be made of its weights"):
        kinds.build(RraBertSettings(base=str(base)), str(base))


def test_a_decoder_needs_room_and_an_end_for_what_is_learned_behind_the_prompt(tmp_path):
    base = str(tiny_generator(tmp_path, context=128))
    with pytest.raises(
        InputError,
        match=r"max_length 100 and the \d+ tokens .* are more than the 128 positions that it has; lower max_length",
    ):
        check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=40))
    check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=10))
    check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=40, rationale_weight=0))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(base)
    with pytest.raises(
        InputError,
        match="its tokenizer has no end-of-text token, with which a rationale ends; set one, or rationale_weight: 0",
    ):
        check_base(base, RraGptSettings(base=base, max_length=100, max_rationale_tokens=10))
    check_base(base, RraGptSettings(base=base, max_length=100, rationale_weight=0))


def test_a_base_without_a_tokenizer_is_named(tmp_path):
    AutoConfig.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    assert said(tmp_path).endswith(
        "its tokenizer has no vocabulary; the folder lacks tokenizer.json, or the files it is made from"
    )


def test_relevant_against_irrelevant_needs_judgements():
    for targets in ("tiers", "scores"):
        with pytest.raises(
            InputError,
            match=r"info_nce sets relevant candidates against irrelevant ones.*or training.targets: judgements",
        ):
            check_fit(RraBertSettings(), TrainingSettings(loss="info_nce"), targets)
    check_fit(RraBertSettings(), TrainingSettings(loss="info_nce", targets="judgements"), "grades")


def test_a_loss_of_scores_does_not_fit_labels_that_are_an_order():
    with pytest.raises(
        InputError, match="margin_mse matches scores, and these labels hold an order only; take ranknet"
    ):
        check_fit(RraBertSettings(), TrainingSettings(loss="margin_mse"), "tiers")


def test_labels_that_are_missing_or_of_another_version_are_named(tmp_path):
    folder = Folder(tmp_path / "labels")
    with pytest.raises(InputError, match="there are no labels to learn from"):
        first_label(folder)
    folder.write_rows("part-1.parquet", [label_of(["d1"])])
    assert first_label(folder).query_id == "q"
    table = folder.read_table("part-1.parquet")
    folder.write_table(
        "part-1.parquet", table.rename_columns(["id" if name == "query_id" else name for name in table.column_names])
    )
    with pytest.raises(
        InputError, match=r"part-1.parquet: not of this version \(query_id: field required\); label anew"
    ):
        first_label(folder)
    folder.write_table("part-1.parquet", table)
    folder.write_table("part-2.parquet", table.drop_columns(["confidence"]))
    with pytest.raises(
        InputError, match=r"part-2.parquet: not of this version \(confidence: there is no such column\); label anew"
    ):
        first_label(folder)
    folder.remove("part-1.parquet")
    folder.write_table(
        "part-2.parquet", table.set_column(2, "candidates", pa.array([[]] * table.num_rows, table.schema.field(2).type))
    )
    with pytest.raises(
        InputError, match=r"part-2.parquet: not of this version \(candidates: list should have at least 1 item"
    ):
        first_label(folder)
