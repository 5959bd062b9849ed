"""Tests of the registry: immutable versions, atomic changes of the champion, and errors on concurrent changes."""

from pathlib import Path

import pytest

from ranking.errors import InputError
from ranking.registry import CHAMPION, CHECKSUMS, Registry, check_whole
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
    check_whole(folder, champion.checksum)
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
    check_whole(registry.champion()[1], registry.champion()[0].checksum)
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
    add = Registry._add

    def slow_add(self, model, version):
        if version == "b":
            promote_all(Registry(Folder(tmp_path / "store")), tmp_path, "c")
        return add(self, model, version)

    monkeypatch.setattr(Registry, "_add", slow_add)
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
        check_whole(folder, champion.checksum)


def test_changed_checksums_are_detected(registry, tmp_path):
    champion, folder = promote_all(registry, tmp_path, "a").champion()
    folder.write_text(CHECKSUMS, "{}")
    with pytest.raises(InputError, match=r"checksums.json: missing, or changed"):
        check_whole(folder, champion.checksum)


def test_first_of_two_concurrent_contents_remains(registry, tmp_path, monkeypatch):
    add = Registry._add_local

    def add_late(self, model, place, sums):
        monkeypatch.setattr(Registry, "_add_local", add)
        promote_all(Registry(Folder(tmp_path / "store")), tmp_path, "a")
        add(self, model, place, sums)

    monkeypatch.setattr(Registry, "_add_local", add_late)
    with pytest.raises(InputError, match="exists with different content"):
        registry.promote(model_of(tmp_path, "other", "other weights"), "a", "run", "better")
    check_whole(registry.champion()[1], registry.champion()[0].checksum)


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
    with pytest.raises(InputError, match=r"champion.json: not a valid champion file of this version of the registry"):
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
