"""Collections: documents, queries to label, and judged test queries.

The setting `collection.source` is `pydoc`, `beir:<folder or URI>`, `trec:<folder or URI>`, `parquet:<folder or URI>` or
`ir_datasets:<id>`. `READERS` maps each kind, the word before the colon, to a function that reads the collection, given
its location and the name of the judged split.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from ranking.collections import beir, ir_datasets, parquet, pydoc, trec
from ranking.collections.collection import Collection
from ranking.collections.splits import in_language, used_for
from ranking.errors import InputError
from ranking.settings import CollectionSettings
from ranking.storage.sources import fetched

READERS: dict[str, Callable[[str, str], Collection]] = {
    "pydoc": lambda _, split: pydoc.read(split),
    "beir": lambda place, split: _read_folder(beir.read, place, split),
    "trec": lambda place, split: _read_folder(trec.read, place, split),
    "parquet": parquet.read,
    "ir_datasets": lambda name, _: ir_datasets.read(name),
}


def read_collection(settings: CollectionSettings, split: str) -> Collection:
    """Read the collection that is named in the settings.

    Args:
        settings: Source and language of the collection, and whether its judged queries are used for labelling, testing
            or both.
        split: Name of the judged split, such as "test".

    Raises:
        InputError: The kind is unknown, the location is missing, or the content is malformed.
    """
    kind, _, place = settings.source.partition(":")
    if kind not in READERS:
        near = difflib.get_close_matches(kind, READERS, n=1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else "known: pydoc, beir:<folder>, trec:<folder>, parquet:<folder>, ir_datasets:<id>"
        )
        raise InputError(f"collection.source {settings.source!r}: unknown kind {kind!r}; {hint}")
    if kind != "pydoc" and not place:
        raise InputError(
            f"collection.source {settings.source!r}: the location is missing; "
            f"write {kind}:{'<id>' if kind == 'ir_datasets' else '<folder>'}"
        )
    return in_language(used_for(READERS[kind](place, split), settings.use), settings.language)


def _read_folder(read: Callable[[Path, str], Collection], place: str, split: str) -> Collection:
    """Read a collection folder with the function `read`. If `place` is a URI, download the folder first."""
    with fetched(place) as folder:
        return read(folder, split)
