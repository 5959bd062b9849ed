"""Quantization of a saved student: accepted and used, rejected and not used, and machines without int8."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ranking.errors import InputError
from ranking.quantization_result import QuantizationError
from ranking.registry import Registry
from ranking.storage.checksums import read_checksums, write_checksums
from ranking.storage.folder import Folder
from students import (
    int8_choice,
    int8_file,
    model_card,
    onnx_file,
    parity,
    precision,
    quantization_gate,
    student_config,
)
from students.int8_file import Range
from students.quantization_gate import JudgedList
from students.scoring import Scorer
from tools.untrained_student import untrained_student

DOCUMENTS = ["Yeast turns sugar into gas.", "A compass needle points north.", "Cats sleep.", "sorted() sorts a list."]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    untrained_student(folder, 1)
    (folder / model_card.NAME).write_text("# s\n\n## License\n\nThe licenses\n")
    return folder


@pytest.fixture(scope="module")
def lists(saved):
    """Lists in which the student's best document is the only relevant one."""
    scorer = Scorer(saved, "fp32")
    rows = []
    for query in [f"question {n} about {topic}" for n in range(3) for topic in ("dough", "north", "cats", "lists")]:
        scores = scorer.score([(query, document) for document in DOCUMENTS])
        targets = [float(score == max(scores)) for score in scores]
        rows.append(JudgedList(query, query, [("", document) for document in DOCUMENTS], targets))
    return rows


@pytest.fixture(scope="module")
def accepted(saved, lists, tmp_path_factory):
    """A quantized student and the result. Only every sixth group of layers is measured and quantized, to save time."""
    measure = int8_file.sensitivities

    def few(model, groups, ranges, batches):
        some = dict(list(groups.items())[::6])
        return dict.fromkeys(groups, float("inf")) | measure(model, some, ranges, batches)

    folder = tmp_path_factory.mktemp("accepted") / "model"
    shutil.copytree(saved, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantization_gate, "has_native_int8", lambda: True)
        patch.setattr(quantization_gate, "SENSITIVITY_PAIRS", 4)
        patch.setattr(int8_file, "sensitivities", few)
        result = quantization_gate.quantize(folder, lists)
    return folder, result


@pytest.fixture
def native(monkeypatch):
    monkeypatch.setattr(int8_choice, "has_native_int8", lambda: True)


@pytest.fixture
def copy(saved, tmp_path, monkeypatch):
    """A copy of the student whose layers are quantized without a measurement of their sensitivity."""
    shutil.copytree(saved, tmp_path / "model")
    monkeypatch.setattr(quantization_gate, "has_native_int8", lambda: True)
    monkeypatch.setattr(int8_file, "sensitivities", lambda model, groups, *_: dict.fromkeys(groups, 0.0))
    return tmp_path / "model"


def test_accepted_int8_model_is_used_and_recorded(saved, accepted, lists, native):
    folder, result = accepted
    assert (result.accepted, result.queries, result.ndcg_before) == (True, len(lists), 1.0)
    assert 0 < result.int8_matmuls < result.matmuls == 36
    config = json.loads((folder / student_config.NAME).read_text())
    assert config["quantization"] == result.model_dump()
    assert "`model.int8.onnx` was accepted" in (folder / model_card.NAME).read_text()
    pairs = [(row.query, text) for row in lists for _, text in row.documents]
    exact, int8 = np.array(Scorer(folder, "fp32").score(pairs)), np.array(Scorer(folder).score(pairs))
    assert (Scorer(folder).precision, Scorer(folder, "int8").precision) == ("int8", "int8")
    assert Scorer(folder, "fp32").precision == "fp32"
    assert 1e-3 * exact.std() < np.sqrt(((int8 - exact) ** 2).mean()) < 0.3 * exact.std()
    assert Scorer(folder).weight_bytes == (folder / onnx_file.INT8_NAME).stat().st_size
    assert Scorer(folder).weight_bytes < Scorer(folder, "fp32").weight_bytes
    assert Scorer(saved).precision != "int8"


def test_other_engines_give_nearly_the_same_int8_scores(accepted, lists, native):
    folder, _ = accepted
    pairs = [(row.query, text) for row in lists[:3] for _, text in row.documents]
    assert Scorer(folder, "int8", "onnx").score(pairs) == pytest.approx(Scorer(folder, "int8").score(pairs), abs=0.3)
    assert Scorer(folder, "auto", "torch").precision != "int8"


def test_cpu_without_int8_instructions_scores_as_before(saved, accepted, monkeypatch, caplog):
    folder, _ = accepted
    monkeypatch.setattr(int8_choice, "has_native_int8", lambda: False)
    pairs = [("a question", document) for document in DOCUMENTS]
    for asked in ("auto", "int8"):
        assert Scorer(folder, asked).score(pairs) == Scorer(saved, "auto").score(pairs)
    assert "model.int8.onnx is not used: this CPU has no int8 instructions" in caplog.text


def test_broken_calibration_is_rejected_and_not_used(copy, lists, monkeypatch, native):
    monkeypatch.setattr(int8_file, "measure_ranges", lambda _, names, *__: dict.fromkeys(names, Range(-0.01, 0.01)))
    before = Scorer(copy).score([("a question", document) for document in DOCUMENTS])
    result = quantization_gate.quantize(copy, lists)
    assert not result.accepted
    assert result.ndcg < result.ndcg_before - 0.05
    assert not (copy / onnx_file.INT8_NAME).exists()
    assert student_config.quantization_of(student_config.read(Folder(copy)), "s") == result
    assert "was rejected" in (copy / model_card.NAME).read_text()
    assert Scorer(copy).score([("a question", document) for document in DOCUMENTS]) == before
    with pytest.raises(InputError, match=r"precision int8 needs an accepted model\.int8\.onnx; train the student with"):
        Scorer(copy, "int8")


def test_int8_of_an_unquantized_student_is_an_error_in_one_line(saved):
    with pytest.raises(InputError, match=r"^models/s: precision int8 needs an accepted model\.int8\.onnx") as error:
        Scorer(saved, "int8", display_name="models/s")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("few", "onnx", "native_int8", "reason"),
    [
        (True, True, True, "9 validation queries with a preference are too few"),
        (False, False, True, r"only students with model\.onnx can be quantized"),
        (False, True, False, "this CPU has no int8 instructions"),
    ],
)
def test_student_that_cannot_be_quantized_is_unchanged(copy, lists, monkeypatch, few, onnx, native_int8, reason):
    monkeypatch.setattr(quantization_gate, "has_native_int8", lambda: native_int8)
    if not onnx:
        (copy / onnx_file.NAME).unlink()
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    without_preference = JudgedList("q", "q", [("", "a"), ("", "b")], [1.0, 1.0])
    with pytest.raises(QuantizationError, match=reason):
        quantization_gate.quantize(copy, [*lists[:9], without_preference] if few else lists)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_registry_version_has_the_int8_model_and_its_record(accepted, tmp_path):
    folder, result = accepted
    model = Folder(tmp_path / "model")
    Folder(folder).copy_to(model)
    write_checksums(model)
    registry = Registry(Folder(tmp_path / "storage"))
    registry.promote(model, "v1", "run", "best")
    version = registry.folder / "v1"
    assert onnx_file.INT8_NAME in (read_checksums(version) or {})
    assert student_config.quantization_of(student_config.read(version), "v1") == result
    with Path(f"{version.path}/{onnx_file.INT8_NAME}").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match=r"model\.int8\.onnx: not the file that was promoted"):
        registry.promote_again("v1", "run")


def test_parity_check_includes_int8(accepted, tmp_path, native):
    folder = tmp_path / "model"
    shutil.copytree(accepted[0], folder)
    assert parity.int8_difference(folder) == pytest.approx(0, abs=1e-3)
    assert parity.is_passed(folder)[1]
    config = json.loads((folder / student_config.NAME).read_text())
    config["quantization"]["probe_scores"][0] += 3.0
    (folder / student_config.NAME).write_text(json.dumps(config))
    assert parity.int8_difference(folder) > parity.INT8_TOLERANCE
    value, passed = parity.is_passed(folder)
    assert (value <= parity.TOLERANCE, passed) == (True, False)


def test_damaged_record_is_reported(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    config = json.loads((tmp_path / "model" / student_config.NAME).read_text())
    (tmp_path / "model" / student_config.NAME).write_text(json.dumps(config | {"quantization": {"accepted": True}}))
    with pytest.raises(InputError, match=r"rradistill\.json has invalid quantization \(field required\)"):
        Scorer(tmp_path / "model")


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"avx512_vnni": True}, True), ({"amx_int8": True}, True), ({"avx2": True}, False)]
)
def test_int8_is_native_with_vnni_or_amx(capabilities, expected, monkeypatch):
    monkeypatch.setattr(precision.torch.cpu, "get_capabilities", lambda: capabilities)
    assert precision.has_native_int8() == expected
