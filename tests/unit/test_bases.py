"""What is wrong with a student's base is said before anything starts, and what is wrong with labels too."""

import pytest
from transformers import AutoConfig, AutoTokenizer

from ranking.encoders import model_path
from ranking.errors import InputError
from ranking.storage import Folder
from ray_jobs.train import check_fit, first_label
from students.bases import check_base, positions
from students.settings import RraBertSettings, RraGptSettings, TrainingSettings
from tests.tiny_models import tiny_generator
from tests.unit.test_reasons import label_of


@pytest.fixture
def base(tmp_path):
    """A base with a configuration and a tokenizer."""
    AutoConfig.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
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
        check_base(str(base), RraBertSettings(base=str(base), max_length=64, term_control={"form": "layer", "layer": layer}))
    for layer in (-8, 7):
        wrong = said(base, max_length=64, term_control={"form": "layer", "layer": layer})
        assert wrong.endswith(f"term_control.layer {layer} is none of its layers, 0 (the embeddings) to 6, or -1 for the last")


def test_what_a_base_lacks_is_named(base, tmp_path):
    assert "the folder holds no config.json" in said(tmp_path / "..")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(base)
    assert "its tokenizer has no pad token" in said(base)
    (base / "config.json").write_text("{}")
    assert "its configuration cannot be read" in said(base)


def test_positions_of_roberta_begin_behind_padding():
    config = AutoConfig.for_model("roberta", max_position_embeddings=514, pad_token_id=1)
    assert positions(config) == 512


def test_a_decoder_needs_room_and_an_end_for_what_is_learned_behind_the_prompt(tmp_path):
    base = str(tiny_generator(tmp_path, context=128))
    with pytest.raises(
        InputError, match=r"max_length 100 and the \d+ tokens .* are more than the 128 positions that it has; lower max_length"
    ):
        check_base(base, RraGptSettings(base=base, max_length=100, reason_tokens=40))
    check_base(base, RraGptSettings(base=base, max_length=100, reason_tokens=10))
    check_base(base, RraGptSettings(base=base, max_length=100, reason_tokens=40, reason_weight=0))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(base)
    with pytest.raises(InputError, match="its tokenizer has no end-of-text token, with which a reason ends; set one, or reason_weight: 0"):
        check_base(base, RraGptSettings(base=base, max_length=100, reason_tokens=10))
    check_base(base, RraGptSettings(base=base, max_length=100, reason_weight=0))


def test_a_base_without_a_tokenizer_is_named(tmp_path):
    AutoConfig.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    assert said(tmp_path).endswith("its tokenizer has no vocabulary; the folder lacks tokenizer.json, or the files it is made from")


def test_relevant_against_irrelevant_needs_judgements():
    for targets in ("tiers", "scores"):
        with pytest.raises(InputError, match=r"info_nce sets relevant candidates against irrelevant ones.*or training.targets: judgements"):
            check_fit(RraBertSettings(), TrainingSettings(loss="info_nce"), targets)
    check_fit(RraBertSettings(), TrainingSettings(loss="info_nce", targets="judgements"), "grades")


def test_a_loss_of_scores_does_not_fit_labels_that_are_an_order():
    with pytest.raises(InputError, match="margin_mse matches scores, and these labels hold an order only; take ranknet"):
        check_fit(RraBertSettings(), TrainingSettings(loss="margin_mse"), "tiers")


def test_labels_that_are_missing_or_of_another_version_are_named(tmp_path):
    folder = Folder(tmp_path / "labels")
    with pytest.raises(InputError, match="there are no labels to learn from"):
        first_label(folder)
    folder.write_rows("part-1.parquet", [label_of(["d1"])])
    assert first_label(folder).query_id == "q"
    table = folder.read_table("part-1.parquet")
    folder.write_table("part-1.parquet", table.rename_columns(["id" if name == "query_id" else name for name in table.column_names]))
    with pytest.raises(InputError, match=r"part-1.parquet: not a label of this version \(query_id: field required\); label anew"):
        first_label(folder)
