"""Read and write the parquet files of a folder, and derive Arrow schemas from record classes."""

from __future__ import annotations

import types
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from ranking.errors import REPAIR, CorruptFileError, InputError
from ranking.records.record import misfit
from ranking.storage import checked_parquet

R = TypeVar("R", bound=BaseModel)
_ROWS_PER_GROUP, _BYTES_PER_GROUP = 1024, 2**20
_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class ParquetFiles(ABC):
    """Base class of `Folder`: reads and writes parquet files. Each file is a part, with some of the rows of a stage."""

    uri: str

    @abstractmethod
    def names(self, suffix: str = "") -> list[str]:
        """List the names of files and folders that end with the suffix, sorted."""

    @abstractmethod
    def open(self, name: str) -> Any:
        """Open a file for reading. The result is a context manager."""

    @abstractmethod
    def _write(self, name: str, write: Any) -> None:
        """Create a file atomically. `write` is called with a binary stream and writes the content to it."""

    def write_rows(self, name: str, rows: Sequence[BaseModel]) -> None:
        """Write records of one class as a parquet file. Needs at least one record."""
        table = pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema_of(type(rows[0])))
        self.write_table(name, table)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a parquet file atomically, with row groups of at most 1,024 rows and about 1 MiB."""
        rows = max(1, min(_ROWS_PER_GROUP, table.num_rows * _BYTES_PER_GROUP // max(1, table.nbytes)))
        self._write(name, lambda stream: checked_parquet.write(table, stream, rows))

    @contextmanager
    def open_parquet(self, name: str) -> Iterator[pq.ParquetFile]:
        """Open a parquet file for reading while the block runs. Checksums are checked if the file has them.

        Raises:
            CorruptFileError: The file is empty, truncated or changed.
            InputError: A column has an extension type.
        """
        try:
            with self.open(name) as stream:
                file = checked_parquet.open_file(stream)
                if problem := extension_column(file.schema_arrow):
                    raise InputError(f"{self.uri}/{name}: {problem}")
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError, checked_parquet.DamagedParquetError) as error:
            if not _is_damage(error):
                raise
            raise CorruptFileError(f"{self.uri}/{name}", " ".join(str(error).split())[:200]) from None

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a parquet file. If `columns` is given, read only these columns.

        Raises:
            InputError: The file is damaged, a column is missing, or a column has an extension type.
        """
        with self.open_parquet(name) as file:
            if missing := [column for column in columns or [] if column not in file.schema_arrow.names]:
                raise InputError(f"{self.uri}/{name}: there is no column {missing[0]!r}; {REPAIR}")
            return file.read(columns)

    def read_tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the tables of all parquet parts of the folder in name order, with all columns or only `columns`."""
        for name in self.names(".parquet"):
            yield self.read_table(name, columns)

    def read_row_group(self, name: str, group: int) -> pa.Table:
        """Read one row group of a parquet file, by its index in `rows_by_group`.

        Files written by `write_table` have row groups of at most 1,024 rows and about 1 MiB.
        """
        with self.open_parquet(name) as file:
            return file.read_row_group(group)

    def rows_by_group(self, name: str) -> list[int]:
        """Return the number of rows of each row group of a parquet file. Reads only the footer."""
        with self.open_parquet(name) as file:
            return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]

    def schema(self, name: str) -> pa.Schema:
        """Return the schema of a parquet file. Reads only the footer."""
        with self.open_parquet(name) as file:
            return file.schema_arrow

    def count_rows(self, name: str) -> int:
        """Return the number of rows of a parquet file. Reads only the footer."""
        with self.open_parquet(name) as file:
            return int(file.metadata.num_rows)

    def read_rows(self, model: type[R]) -> Iterator[R]:
        """Yield the records of all parquet parts of the folder. Parts are read in name order.

        Raises:
            InputError: A part is damaged, or was written by another version.
        """
        for name in self.names(".parquet"):
            for row in self._rows_of(name):
                try:
                    yield model.model_validate(row)
                except ValidationError as error:
                    raise InputError(f"{self.uri}/{name}: {misfit(error)}; {REPAIR}") from None

    def _rows_of(self, name: str) -> list[dict[str, Any]]:
        """Read the rows of one part."""
        table = self.read_table(name)
        try:
            return table.to_pylist()  # type: ignore[no-any-return]
        except UnicodeDecodeError:
            raise CorruptFileError(f"{self.uri}/{name}", "a text is not UTF-8") from None

    def read_column(self, column: str) -> list[Any]:
        """Read the values of one column from all parquet parts of the folder. Parts are read in name order."""
        return [value for table in self.read_tables([column]) for value in table[column].to_pylist()]


def _is_damage(error: Exception) -> bool:
    """Return whether an error of reading a file is about its content. Errors of the system or a service are not."""
    return not (isinstance(error, OSError) and (error.errno is not None or "AWS Error" in str(error)))


def extension_column(schema: pa.Schema) -> str | None:
    """Describe the first column with an Arrow extension type. Returns None if there is none.

    The project writes no such columns. Ray registers an extension type whose values are unpickled when they are
    accessed, so a file with such a column could run code.
    """
    for field in schema:
        if _has_extension(field.type):
            return f"column {field.name!r} has the extension type {field.type}; write it again with a plain type"
    return None


def _has_extension(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType) or any(
        _has_extension(type_.field(index).type) for index in range(type_.num_fields)
    )


def schema_of(model: type[BaseModel]) -> pa.Schema:
    """Derive the parquet schema of a record class. All parts get the same schema, even if a column has only nulls."""
    return pa.schema([pa.field(name, _type_of(field.annotation)) for name, field in model.model_fields.items()])


def _type_of(annotation: Any) -> pa.DataType:
    """Map a field's type annotation to an Arrow type."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _SCALARS[type(arguments[0])]
    if origin is list:
        return pa.list_(_type_of(arguments[0]))
    if origin in (Union, types.UnionType):
        (inner,) = [argument for argument in arguments if argument is not types.NoneType]
        return _type_of(inner)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct(schema_of(annotation))
    raise TypeError(f"no parquet type for {annotation}")


def part_name(ids: Iterable[str]) -> str:
    """Derive the file name of a part from the ids of its rows. Writing the same rows again overwrites the same file."""
    return f"part-{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(ids)).hex}.parquet"
