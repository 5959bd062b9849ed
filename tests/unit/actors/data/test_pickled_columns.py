"""Parquet files with columns of pickled objects, which Ray would unpickle, are refused before their values are read."""

import pickle
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.data._internal.object_extensions.arrow import ArrowPythonObjectType

from actors.data.parts import PartSlice, read_slice
from ranking.collections.log_columns import MalformedRowError
from ranking.collections.log_files import FileSplit
from ranking.collections.log_records import parquet_layout, parquet_rows
from ranking.errors import InputError
from ranking.selection.selection_settings import QuerySettings
from ranking.storage.folder import Folder


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled_column(path):
    """Return a column with one pickled object, of the extension type that Ray registers."""
    type_ = ArrowPythonObjectType()
    return pa.ExtensionArray.from_storage(type_, pa.array([pickle.dumps(Payload(path))], type_.storage_type))


@pytest.fixture
def executed(tmp_path):
    """Write parquet files with a pickled column, plain and nested, and return the path that their objects create."""
    path = tmp_path / "executed"
    column = pickled_column(path)
    pq.write_table(pa.table({"query": column}), tmp_path / "plain.parquet")
    pq.write_table(pa.table({"query": pa.StructArray.from_arrays([column], ["inner"])}), tmp_path / "nested.parquet")
    return path


@pytest.mark.parametrize("name", ["plain.parquet", "nested.parquet"])
@pytest.mark.parametrize(
    "read",
    [
        lambda folder, name: folder.read_table(name).to_pylist(),
        lambda folder, name: folder.read_row_group(name, 0).to_pylist(),
        lambda folder, name: read_slice(folder, PartSlice(name, 0, 1), None).to_pylist(),
    ],
    ids=["table", "row_group", "slice"],
)
def test_parts_with_pickled_columns_are_refused(executed, tmp_path, name, read):
    with pytest.raises(InputError, match=f"{name}: column 'query' has the extension type"):
        read(Folder(tmp_path), name)
    assert not executed.exists()


def test_query_log_with_a_pickled_column_is_refused(executed, tmp_path):
    with (tmp_path / "plain.parquet").open("rb") as stream:
        split = FileSplit(str(tmp_path), "plain.parquet", ".parquet", 0, 1)
        with pytest.raises(MalformedRowError, match="column 'query' has the extension type"):
            list(parquet_rows(stream, split, QuerySettings(), Counter()))
        with pytest.raises(MalformedRowError, match="column 'query' has the extension type"):
            parquet_layout(stream, QuerySettings())
    assert not executed.exists()
