"""The registry: versions never change, the champion changes whole or not at all, and one of two changes at once is an error."""

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
    folder = Folder(tmp_path / "models" / name)
    folder.write_text("weights", weights or name)
    (folder / "tokenizer").write_text("vocabulary", "words")
    return folder


def promoted(registry, tmp_path, *versions):
    for version in versions:
        registry.promote(model_of(tmp_path, version), version, "run", "better")
    return registry


def test_promotions_keep_history_and_files(registry, tmp_path):
    assert registry.read() is None
    with pytest.raises(InputError, match="no champion yet"):
        registry.champion()
    champion, folder = promoted(registry, tmp_path, "a", "b").champion()
    assert (champion.champion, folder.read_text("weights")) == ("b", "b")
    check_whole(folder, champion.checksum)
    assert [change.version for change in champion.history] == ["a", "b"]
    assert registry.promote(model_of(tmp_path, "b"), "b", "run", "again").history == champion.history
    assert registry.versions() == ["a", "b"]


def test_rollback_goes_back_along_what_was_not_rolled_back(registry, tmp_path):
    promoted(registry, tmp_path, "a", "b", "c")
    assert registry.rollback("run").champion == "b"
    assert registry.rollback("run").champion == "a"
    with pytest.raises(InputError, match="no earlier champion"):
        registry.rollback("run")
    assert [change.action for change in registry.read().history] == ["promote"] * 3 + ["rollback"] * 2


def test_a_version_comes_back_by_hand_and_rolls_back_to_what_was_before(registry, tmp_path):
    promoted(registry, tmp_path, "a", "b", "c").promote_again("a", "run")
    assert registry.champion()[0].champion == "a"
    check_whole(registry.champion()[1], registry.champion()[0].checksum)
    assert registry.rollback("run").champion == "c"
    assert registry.promote_again("c", "run").history == registry.read().history
    with pytest.raises(InputError, match=r"there is no version 'd'; there are a, b, c"):
        registry.promote_again("d", "run")


def test_a_version_never_changes(registry, tmp_path):
    promoted(registry, tmp_path, "a", "b")
    for version in ("a", "b"):
        with pytest.raises(InputError, match="is there with another content, and a version never changes"):
            registry.promote(model_of(tmp_path, "other", "better weights"), version, "run", "better")
    assert registry.champion()[0].champion == "b"


def test_a_change_that_comes_between_is_an_error_and_stays(registry, tmp_path, monkeypatch):
    promoted(registry, tmp_path, "a")
    add = Registry._add

    def slow_add(self, model, version):
        if version == "b":
            promoted(Registry(Folder(tmp_path / "store")), tmp_path, "c")
        return add(self, model, version)

    monkeypatch.setattr(Registry, "_add", slow_add)
    with pytest.raises(InputError, match=r"the champion was changed meanwhile \(it is c, by run 'run'\)"):
        promoted(registry, tmp_path, "b")
    assert [change.version for change in registry.read().history] == ["a", "c"]


@pytest.mark.parametrize(
    "damage",
    [lambda f: f.write_text("weights", "x"), lambda f: f.remove("weights"), lambda f: f.write_text("more", "")],
)
def test_files_that_were_not_promoted_are_not_loaded(registry, tmp_path, damage):
    champion, folder = promoted(registry, tmp_path, "a").champion()
    damage(folder)
    with pytest.raises(InputError, match=r"is not the file that was promoted \(1 differ\)"):
        check_whole(folder, champion.checksum)


def test_checksums_that_were_changed_are_seen(registry, tmp_path):
    champion, folder = promoted(registry, tmp_path, "a").champion()
    folder.write_text(CHECKSUMS, "{}")
    with pytest.raises(InputError, match=r"checksums.json: is missing or was changed"):
        check_whole(folder, champion.checksum)


def test_of_two_contents_under_one_name_the_first_stays(registry, tmp_path, monkeypatch):
    add = Registry._add_local

    def late(self, model, place, sums):
        monkeypatch.setattr(Registry, "_add_local", add)
        promoted(Registry(Folder(tmp_path / "store")), tmp_path, "a")
        add(self, model, place, sums)

    monkeypatch.setattr(Registry, "_add_local", late)
    with pytest.raises(InputError, match="is there with another content"):
        registry.promote(model_of(tmp_path, "other", "other weights"), "a", "run", "better")
    check_whole(registry.champion()[1], registry.champion()[0].checksum)


def test_half_copied_folders_are_no_versions(registry, tmp_path):
    promoted(registry, tmp_path, "a")
    (registry.folder / f"{PARTIAL}x").write_text(CHECKSUMS, "{}")
    assert registry.versions() == ["a"]


def test_a_copy_that_was_cut_off_is_no_version(registry, tmp_path, monkeypatch):
    promoted(registry, tmp_path, "a")

    def cut_off(self, target):
        target.write_text("weights", "half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "copy_to", cut_off)
        with pytest.raises(KeyboardInterrupt):
            promoted(registry, tmp_path, "b")
    assert registry.versions() == ["a"]
    assert registry.champion()[0].champion == "a"
    promoted(registry, tmp_path, "b")
    assert registry.champion()[0].champion == "b"


def test_a_folder_of_something_else_is_not_written_into(registry, tmp_path):
    (registry.folder / "a").write_text("mine", "")
    with pytest.raises(InputError, match=r"is there and is no version of the registry"):
        promoted(registry, tmp_path, "a")
    assert (registry.folder / "a").names() == ["mine"]


def test_a_champion_file_of_another_kind_is_an_error(registry):
    registry.folder.write_text(CHAMPION, '{"champion": "a"}')
    with pytest.raises(InputError, match=r"champion.json: is not what this version of the registry writes"):
        registry.read()


def test_a_pointer_is_swapped_only_by_who_knows_what_it_holds(tmp_path):
    pointer = Pointer(Folder(tmp_path / "new"), "p.json")
    assert pointer.read() == PointerContent()
    pointer.swap(PointerContent(), "one")
    with pytest.raises(PointerConflictError):
        pointer.swap(PointerContent(), "two")
    held = pointer.read()
    pointer.swap(held, "two")
    with pytest.raises(PointerConflictError):
        pointer.swap(held, "three")
    assert pointer.read().text == "two"
    assert sorted(path.name for path in Path(pointer.folder.path).iterdir()) == [".p.json.lock", "p.json"]
