"""Tests of the registry: immutable versions, atomic changes of the champion, and errors on concurrent changes."""

from pathlib import Path

import pytest

from ranking import registry_versions
from ranking.errors import InputError
from ranking.registry import CHAMPION, Registry
from ranking.registry_versions import verify_checksums
from ranking.storage.checksums import CHECKSUMS, write_checksums
from ranking.storage.folder import PARTIAL, Folder
from ranking.storage.pointer import Pointer, PointerConflictError, PointerContent


@pytest.fixture
def registry(tmp_path):
    return Registry(Folder(tmp_path / "store"))


def model_of(tmp_path, name, weights=None):
    """Write a model folder."""
    folder = Folder(tmp_path / "models" / name)
    folder.write_text("weights", weights or name)
    (folder / "tokenizer").write_text("vocabulary", "words")
    return folder


def promote_all(registry, tmp_path, *versions):
    """Promote new models and return the registry."""
    for version in versions:
        registry.promote(model_of(tmp_path, version), version, "run", "better")
    return registry


def test_promotion_records_history_and_files(registry, tmp_path):
    assert registry.read() is None
    with pytest.raises(InputError, match="no champion yet"):
        registry.champion()
    champion, folder = promote_all(registry, tmp_path, "a", "b").champion()
    assert (champion.champion, folder.read_text("weights")) == ("b", "b")
    verify_checksums(folder, champion.checksum)
    assert [change.version for change in champion.history] == ["a", "b"]
    assert registry.promote(model_of(tmp_path, "b"), "b", "run", "again").history == champion.history
    assert registry.versions() == ["a", "b"]


def test_rollback_skips_rolled_back_promotions(registry, tmp_path):
    promote_all(registry, tmp_path, "a", "b", "c")
    assert registry.rollback("run").champion == "b"
    assert registry.rollback("run").champion == "a"
    with pytest.raises(InputError, match="no earlier champion"):
        registry.rollback("run")
    assert [change.action for change in registry.read().history] == ["promote"] * 3 + ["rollback"] * 2


def test_promote_again_restores_a_version_and_can_be_rolled_back(registry, tmp_path):
    promote_all(registry, tmp_path, "a", "b", "c").promote_again("a", "run")
    assert registry.champion()[0].champion == "a"
    verify_checksums(registry.champion()[1], registry.champion()[0].checksum)
    assert registry.rollback("run").champion == "c"
    assert registry.promote_again("c", "run").history == registry.read().history
    with pytest.raises(InputError, match=r"there is no version 'd'; known versions: a, b, c"):
        registry.promote_again("d", "run")


def test_versions_are_immutable(registry, tmp_path):
    promote_all(registry, tmp_path, "a", "b")
    for version in ("a", "b"):
        with pytest.raises(InputError, match="exists with different content, and versions are immutable"):
            registry.promote(model_of(tmp_path, "other", "better weights"), version, "run", "better")
    assert registry.champion()[0].champion == "b"


def test_concurrent_change_is_an_error_and_remains(registry, tmp_path, monkeypatch):
    promote_all(registry, tmp_path, "a")
    add = registry_versions.add_version

    def slow_add(folder, version, model, promoted):
        if version == "b":
            promote_all(Registry(Folder(tmp_path / "store")), tmp_path, "c")
        return add(folder, version, model, promoted)

    monkeypatch.setattr("ranking.registry.add_version", slow_add)
    with pytest.raises(InputError, match=r"the champion was changed meanwhile \(now c, by run 'run'\)"):
        promote_all(registry, tmp_path, "b")
    assert [change.version for change in registry.read().history] == ["a", "c"]


@pytest.mark.parametrize(
    "damage",
    [lambda f: f.write_text("weights", "x"), lambda f: f.remove("weights"), lambda f: f.write_text("more", "")],
)
def test_changed_files_are_detected(registry, tmp_path, damage):
    champion, folder = promote_all(registry, tmp_path, "a").champion()
    damage(folder)
    with pytest.raises(InputError, match=r"not the file that was promoted \(1 differ\)"):
        verify_checksums(folder, champion.checksum)


def cut(folder, name="weights"):
    """Cut a file to its first 1,000 bytes."""
    path = Path(folder.path) / name
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", ["weights", CHECKSUMS])
@pytest.mark.parametrize("call", ["promote", "add"])
def test_damaged_version_is_copied_again(registry, tmp_path, recorded, name, call):
    model = model_of(tmp_path, "a", "w" * 5000)
    if recorded:
        write_checksums(model)
    registry.promote(model, "a", "run", "better")
    champion, folder = registry.champion()
    Path(folder.path, name).write_bytes(Path(folder.path, name).read_bytes()[:30])
    (folder / "tokenizer").write_text("more", "")
    if call == "promote":
        assert registry.promote(model, "a", "run", "better") == champion
    else:
        registry.add(model, "a")
    verify_checksums(folder, champion.checksum)
    assert folder.names() == [CHECKSUMS, "tokenizer", "weights"]
    assert [name for name in registry.folder.names() if name.startswith(PARTIAL)] == []


@pytest.mark.parametrize("recorded", [True, False])
def test_damaged_version_of_a_damaged_model_is_an_error(registry, tmp_path, recorded):
    model = model_of(tmp_path, "a", "w" * 5000)
    if recorded:
        write_checksums(model)
    registry.promote(model, "a", "run", "better")
    promote_all(registry, tmp_path, "b")
    cut(registry.folder / "a")
    cut(model)
    with pytest.raises(InputError, match=rf"^[^\n]*{model.path}/weights") as raised:
        registry.promote(model, "a", "run", "better")
    assert "damaged" in str(raised.value) or "differs" in str(raised.value)
    assert registry.read().champion == "b"


def test_damaged_model_is_not_added(registry, tmp_path):
    model = model_of(tmp_path, "a", "w" * 5000)
    write_checksums(model)
    cut(model)
    with pytest.raises(InputError, match=rf"{model.path}/weights: the file is damaged .*run ray_jobs.train again"):
        registry.promote(model, "a", "run", "better")
    assert (registry.read(), registry.versions()) == (None, [])


@pytest.mark.parametrize("name", ["weights", CHECKSUMS])
@pytest.mark.parametrize("call", [lambda r: r.rollback("run"), lambda r: r.promote_again("a", "run")])
def test_damaged_version_does_not_become_champion(registry, tmp_path, call, name):
    promote_all(registry, tmp_path, "a", "b")
    (registry.folder / "a").write_text(name, "{}")
    with pytest.raises(InputError, match=rf"a/{name}: .* --add STUDENT .* copies damaged files again"):
        call(registry)
    assert registry.read().champion == "b"
    registry.add(model_of(tmp_path, "a"), "a")
    assert call(registry).champion == "a"


def test_damaged_champion_is_not_promoted_again(registry, tmp_path):
    promote_all(registry, tmp_path, "a").folder.write_text("a/weights", "x")
    with pytest.raises(InputError, match="a/weights: not the file that was promoted"):
        registry.promote_again("a", "run")


def test_changed_checksums_are_detected(registry, tmp_path):
    champion, folder = promote_all(registry, tmp_path, "a").champion()
    folder.write_text(CHECKSUMS, "{}")
    with pytest.raises(InputError, match=r"checksums.json: missing, or changed"):
        verify_checksums(folder, champion.checksum)


def test_first_of_two_concurrent_contents_remains(registry, tmp_path, monkeypatch):
    add = registry_versions._add_local

    def add_late(folder, target, model, sums):
        monkeypatch.setattr(registry_versions, "_add_local", add)
        promote_all(Registry(Folder(tmp_path / "store")), tmp_path, "a")
        add(folder, target, model, sums)

    monkeypatch.setattr(registry_versions, "_add_local", add_late)
    with pytest.raises(InputError, match="exists with different content"):
        registry.promote(model_of(tmp_path, "other", "other weights"), "a", "run", "better")
    verify_checksums(registry.champion()[1], registry.champion()[0].checksum)


def test_partial_copies_are_not_listed_as_versions(registry, tmp_path):
    promote_all(registry, tmp_path, "a")
    (registry.folder / f"{PARTIAL}x").write_text(CHECKSUMS, "{}")
    assert registry.versions() == ["a"]


def test_interrupted_copy_is_not_a_version(registry, tmp_path, monkeypatch):
    promote_all(registry, tmp_path, "a")

    def interrupted(self, target):
        target.write_text("weights", "half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "copy_to", interrupted)
        with pytest.raises(KeyboardInterrupt):
            promote_all(registry, tmp_path, "b")
    assert registry.versions() == ["a"]
    assert registry.champion()[0].champion == "a"
    promote_all(registry, tmp_path, "b")
    assert registry.champion()[0].champion == "b"


def test_unrelated_folder_is_not_overwritten(registry, tmp_path):
    (registry.folder / "a").write_text("mine", "")
    with pytest.raises(InputError, match=r"exists but is not a registry version"):
        promote_all(registry, tmp_path, "a")
    assert (registry.folder / "a").names() == ["mine"]


def test_invalid_champion_file_is_an_error(registry):
    registry.folder.write_text(CHAMPION, '{"champion": "a"}')
    with pytest.raises(
        InputError, match=r"champion.json: the file is damaged \(not a valid champion file of this version"
    ):
        registry.read()


def test_swap_requires_the_current_content(tmp_path):
    pointer = Pointer(Folder(tmp_path / "new"), "p.json")
    assert pointer.read() == PointerContent()
    pointer.swap(PointerContent(), "one")
    with pytest.raises(PointerConflictError):
        pointer.swap(PointerContent(), "two")
    current = pointer.read()
    pointer.swap(current, "two")
    with pytest.raises(PointerConflictError):
        pointer.swap(current, "three")
    assert pointer.read().text == "two"
    assert sorted(path.name for path in Path(pointer.folder.path).iterdir()) == [".p.json.lock", "p.json"]
