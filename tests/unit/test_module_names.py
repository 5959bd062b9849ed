"""Module names are unique in the repository, so a name in a traceback or an import identifies one file."""

from collections import Counter

from tests.testing.facts import ROOT

FOLDERS = ("actors", "benchmarks", "examples", "ranking", "ray_jobs", "students", "tests", "tools")
REPEATED = {"__init__", "__main__", "conftest"}


def test_module_names_are_unique():
    names = Counter(path.stem for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    assert [name for name, count in names.items() if count > 1 and name not in REPEATED] == []
