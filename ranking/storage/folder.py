"""Folders on a local disk or in an object store, and the parquet parts in them.

Everything goes through pyarrow's filesystems, so `runs/quickstart` and `s3://bucket/rra/quickstart`
behave alike. A file appears whole or not at all. What an object store needs to know beside the URI, keys,
region and endpoint, comes from the environment, never from the URI: that one is written to files.
"""

from __future__ import annotations

import functools
import types
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from pydantic import BaseModel

from ranking.errors import InputError
from ranking.storage import s3

R = TypeVar("R", bound=BaseModel)
_ROWS_PER_GROUP, _BYTES_PER_GROUP = 1024, 2**20
_COPIES_AT_ONCE = 16
PARTIAL = ".partial-"
"""How names of files and folders begin that are not whole yet."""
_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class Folder:
    """A folder by its path or URI. Nothing is created before something is written, or asked before something is used.

    Raises InputError for a URI that is no good.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = str(uri) if "://" in str(uri) else str(Path(uri).absolute())
        _check(self.uri)
        self.is_local = "://" not in self.uri or self.uri.startswith("file://")

    @functools.cached_property
    def filesystem(self) -> Any:
        """The pyarrow filesystem that this folder is on."""
        return self._located[0]

    @functools.cached_property
    def path(self) -> str:
        """Where the folder is on its filesystem: for s3, the bucket and the prefix."""
        return self._located[1]

    @functools.cached_property
    def _located(self) -> tuple[Any, str]:
        scheme, divider, rest = self.uri.partition("://")
        if not divider:
            return pafs.LocalFileSystem(), self.uri
        place, _, path = rest.partition("/")
        try:
            filesystem, base = _opened(f"{scheme}://{place}/")
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{self.uri}: not a path or URI that can be opened ({' '.join(str(error).split())})"
            ) from None
        return filesystem, "/".join([base.rstrip("/"), *filter(None, path.split("/"))])

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.uri.rstrip('/')}/{name}")

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        return Folder, (self.uri,)

    def __repr__(self) -> str:
        return f"Folder({self.uri!r})"

    def check_writable(self) -> None:
        """Raise InputError where nothing can be written here."""
        self.check_reachable()
        probe = f".writable-{uuid.uuid4().hex}"
        try:
            self.write_text(probe, "")
            self.remove(probe)
        except (pa.ArrowInvalid, OSError) as error:
            reason = " ".join(str(error).split())
            if refused := s3.denied(reason):
                raise InputError(f"storage {self.uri}: {refused}") from None
            reason = getattr(error, "strerror", None) or reason
            raise InputError(
                f"storage {self.uri}: cannot be written ({reason}); choose another with --storage"
            ) from None

    def check_reachable(self) -> None:
        """Raise InputError where this is in a bucket that cannot be used; a local folder always can be asked."""
        if self.uri.startswith("s3://") and (reason := s3.refusal(self.uri.split("/")[2])):
            raise InputError(f"{self.uri}: {reason}")

    def exists(self, name: str = "") -> bool:
        """Tell whether a file or folder of this name is here; without a name, whether this folder is."""
        return bool(self.filesystem.get_file_info(self._file(name)).type != pafs.FileType.NotFound)

    def is_file(self) -> bool:
        """Tell whether this is in truth a file."""
        return bool(self.filesystem.get_file_info(self.path).type == pafs.FileType.File)

    def inventory(self) -> list[tuple[str, int, int]]:
        """Name, size and time of change of every file in here, subfolders too; of this itself where it is a file.

        Raises InputError where there is neither.
        """
        infos = [self.filesystem.get_file_info(self.path)]
        if infos[0].type == pafs.FileType.NotFound:
            raise InputError(f"{self.uri}: there is no such file or folder")
        if infos[0].type == pafs.FileType.Directory:
            infos = self.filesystem.get_file_info(pafs.FileSelector(self.path, recursive=True))
        return sorted(
            (info.path[len(self.path) :], info.size, info.mtime_ns) for info in infos if info.type == pafs.FileType.File
        )

    def names(self, suffix: str = "") -> list[str]:
        """List the files and folders directly in here whose names end so, sorted; none where the folder is missing."""
        infos = self.filesystem.get_file_info(pafs.FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in infos if info.base_name.endswith(suffix))

    def read_text(self, name: str) -> str:
        with self.filesystem.open_input_stream(self._file(name)) as stream:
            return bytes(stream.read()).decode("utf-8")

    def write_text(self, name: str, text: str) -> None:
        def write(stream: Any) -> None:
            stream.write(text.encode("utf-8"))

        self._write(name, write)

    def write_rows(self, name: str, rows: Sequence[BaseModel]) -> None:
        """Write records of one class as a parquet file; at least one."""
        table = pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema_of(type(rows[0])))
        self.write_table(name, table)

    def write_table(self, name: str, table: pa.Table) -> None:
        rows = max(1, min(_ROWS_PER_GROUP, table.num_rows * _BYTES_PER_GROUP // max(1, table.nbytes)))
        self._write(name, lambda stream: pq.write_table(table, stream, row_group_size=rows))

    def open(self, name: str) -> Any:
        """Open a file for reading, as a context manager."""
        return self.filesystem.open_input_file(self._file(name))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        with self.open(name) as stream:
            return pq.read_table(stream, columns=columns)

    def read_tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield all parquet parts here, in the order of their names."""
        for name in self.names(".parquet"):
            yield self.read_table(name, columns)

    def read_row_group(self, name: str, group: int) -> pa.Table:
        """A part of a parquet file, of about a megabyte or 1,024 rows; see `rows_by_group`."""
        with self.open(name) as stream:
            return pq.ParquetFile(stream).read_row_group(group)

    def rows_by_group(self, name: str) -> list[int]:
        """How many rows each row group of a parquet file holds, by its footer."""
        with self.open(name) as stream:
            footer = pq.read_metadata(stream)
            return [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]

    def schema(self, name: str) -> pa.Schema:
        """The columns of a parquet file, by its footer."""
        with self.open(name) as stream:
            return pq.read_schema(stream)

    def count_rows(self, name: str) -> int:
        """How many rows a parquet file holds, by its footer."""
        with self.open(name) as stream:
            return int(pq.read_metadata(stream).num_rows)

    def read_rows(self, model: type[R]) -> Iterator[R]:
        """Yield the records of all parquet parts here, in the order of the parts' names."""
        for table in self.read_tables():
            for row in table.to_pylist():
                yield model.model_validate(row)

    def read_column(self, column: str) -> list[Any]:
        """Read one column of all parquet parts here."""
        return [value for table in self.read_tables([column]) for value in table[column].to_pylist()]

    def move_to(self, target: Folder) -> None:
        """Move this folder to a place of the same storage where nothing is.

        In an object store, files are copied and then deleted. Those whose names begin with `_` say what the
        folder is: they are copied last and deleted first, so that a move that was cut off leaves no folder
        that passes for a whole one.
        """
        if self.is_local:
            Path(target.path).parent.mkdir(parents=True, exist_ok=True)
            self.filesystem.move(self.path, target.path)
            return
        marks = [name for name in self.names() if name.startswith("_")]
        infos = self.filesystem.get_file_info(pafs.FileSelector(self.path, recursive=True))
        inside = [info.path[len(self.path) + 1 :] for info in infos if info.type == pafs.FileType.File]

        def copy(name: str) -> None:
            self.filesystem.copy_file(self._file(name), target._file(name))

        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            list(pool.map(copy, [name for name in inside if name not in marks]))
        for name in marks:
            copy(name)
        for name in reversed(marks):
            self.remove(name)
        self.delete()

    def copy_to(self, target: Folder) -> None:
        """Copy all files in here, of subfolders too."""
        target._make()
        pafs.copy_files(
            self.path, target.path, source_filesystem=self.filesystem, destination_filesystem=target.filesystem
        )

    def move_file_to(self, name: str, target: Folder) -> None:
        target._make()
        self.filesystem.move(self._file(name), target._file(name))

    def remove(self, name: str) -> None:
        """Delete one file."""
        self.filesystem.delete_file(self._file(name))

    def sweep(self) -> None:
        """Delete what writes to this folder have left behind that were cut off; nobody may be writing here."""
        for name in self.names():
            if name.startswith(PARTIAL):
                self.remove(name)

    def delete(self) -> None:
        """Delete this folder and all in it; nothing where it is missing."""
        if self.exists():
            self.filesystem.delete_dir(self.path)

    def _file(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}" if name else self.path

    def _make(self) -> None:
        """Create this folder; an object store has none, only files whose names begin alike."""
        if self.is_local:
            Path(self.path).mkdir(parents=True, exist_ok=True)

    def _write(self, name: str, write: Any) -> None:
        """Write a file beside its place and move it there; to an object store, send it once it is complete in memory.

        A stream to an object store publishes what it got when it is closed, after an error too.
        """
        self._make()
        if self.is_local:
            partial = self._file(f"{PARTIAL}{uuid.uuid4().hex}")
            with self.filesystem.open_output_stream(partial) as stream:
                write(stream)
            Path(partial).replace(self._file(name))
        else:
            held = pa.BufferOutputStream()
            write(held)
            with self.filesystem.open_output_stream(self._file(name)) as stream:
                stream.write(held.getvalue())


def _check(uri: str) -> None:
    """Raise InputError for a URI with keys or options in it, or without a bucket."""
    scheme, _, rest = uri.partition("://")
    place = rest.partition("/")[0]
    if "?" in rest or (scheme == "s3" and "@" in place):  # the message must not repeat a key
        raise InputError(f"{scheme}:// URI with keys or options: these belong in the environment (docs/storage.md)")
    if scheme == "s3" and not place:
        raise InputError(f"{uri}: a bucket is missing, as in s3://bucket/folder")


@functools.cache
def _opened(root: str) -> tuple[Any, str]:
    """Open a bucket once a process: each new client would look for credentials and the region again."""
    filesystem, base = pafs.FileSystem.from_uri(root)
    return filesystem, base


def schema_of(model: type[BaseModel]) -> pa.Schema:
    """Derive the parquet schema of a record class, so that all parts agree even where a column is all null."""
    return pa.schema([pa.field(name, _type_of(field.annotation)) for name, field in model.model_fields.items()])


def _type_of(annotation: Any) -> pa.DataType:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _SCALARS[type(arguments[0])]
    if origin is list:
        return pa.list_(_type_of(arguments[0]))
    if origin in (Union, types.UnionType):
        (kept,) = [argument for argument in arguments if argument is not types.NoneType]
        return _type_of(kept)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct(schema_of(annotation))
    raise TypeError(f"no parquet type for {annotation}")


def part_name(ids: Iterable[str]) -> str:
    """Name a part by what is in it, so that a part written twice replaces itself."""
    return f"part-{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(ids)).hex}.parquet"
