"""Folders on a local disk or in an object store: read, write, list, move and delete their files.

All access goes through pyarrow filesystems, so `runs/quickstart` and `s3://bucket/rra/quickstart` behave the same.
Files are written atomically. Credentials, region and endpoint of an object store come from the environment, never from
the URI, because URIs are written to files.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
from pydantic import BaseModel, ValidationError

from ranking.errors import CorruptFileError, InputError
from ranking.records.record import problem_of
from ranking.storage import s3
from ranking.storage.full_disk import full_disk_errors, removed_on_error
from ranking.storage.json_checksum import take_checksum, with_checksum
from ranking.storage.parquet_files import ParquetFiles
from ranking.storage.uris import check_uri, filesystem_of

M = TypeVar("M", bound=BaseModel)
_COPIES_AT_ONCE = 16
PARTIAL = ".partial-"
"""Name prefix of files and folders that are still being written."""


class Folder(ParquetFiles):
    """A folder given by its path or URI.

    Creating a `Folder` object does not access the storage. The first write creates the folder itself.

    Raises:
        InputError: The URI is invalid.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = str(uri) if "://" in str(uri) else str(Path(uri).absolute())
        check_uri(self.uri)
        self.is_local = "://" not in self.uri or self.uri.startswith("file://")

    @functools.cached_property
    def filesystem(self) -> Any:
        """The pyarrow filesystem of this folder."""
        return self._located[0]

    @functools.cached_property
    def path(self) -> str:
        """The folder's path on its filesystem. For S3: bucket and prefix."""
        return self._located[1]

    @functools.cached_property
    def _located(self) -> tuple[Any, str]:
        return filesystem_of(self.uri)

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.uri.rstrip('/')}/{name}")

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        return Folder, (self.uri,)

    def __repr__(self) -> str:
        return f"Folder({self.uri!r})"

    def check_writable(self, flag: str = "--storage") -> None:
        """Write and delete a probe file.

        Args:
            flag: Flag that sets the folder, for the error message.

        Raises:
            InputError: The folder is not writable.
        """
        self.check_reachable()
        probe = f".writable-{uuid.uuid4().hex}"
        try:
            self.write_text(probe, "")
            self.remove(probe)
        except (pa.ArrowInvalid, OSError) as error:
            reason = " ".join(str(error).split())
            if denied := s3.missing_permission(reason):
                raise InputError(f"storage {self.uri}: {denied}") from None
            reason = getattr(error, "strerror", None) or reason
            raise InputError(
                f"storage {self.uri}: not writable ({reason}); choose another folder with {flag}"
            ) from None

    def check_reachable(self) -> None:
        """Check that the folder's S3 bucket is accessible. A no-op for other storage.

        Raises:
            InputError: The bucket is not accessible.
        """
        if self.uri.startswith("s3://") and (reason := s3.refusal(self.uri.split("/")[2])):
            raise InputError(f"{self.uri}: {reason}")

    def exists(self, name: str = "") -> bool:
        """Return whether a file or subfolder of this name exists here. Without a name, whether this folder exists."""
        return bool(self.filesystem.get_file_info(self._file(name)).type != pafs.FileType.NotFound)

    def is_file(self) -> bool:
        """Return whether the path is a file instead of a folder."""
        return bool(self.filesystem.get_file_info(self.path).type == pafs.FileType.File)

    def inventory(self) -> list[tuple[str, int, int]]:
        """List name, size in bytes and modification time in ns of every file in this folder, recursively.

        Names are relative to the folder and begin with a slash. If the path is a file, the list has only this file,
        with an empty name.

        Raises:
            InputError: The path does not exist.
        """
        infos = [self.filesystem.get_file_info(self.path)]
        if infos[0].type == pafs.FileType.NotFound:
            raise InputError(f"{self.uri}: no such file or folder")
        if infos[0].type == pafs.FileType.Directory:
            infos = self.filesystem.get_file_info(pafs.FileSelector(self.path, recursive=True))
        return sorted(
            (info.path[len(self.path) :], info.size, info.mtime_ns) for info in infos if info.type == pafs.FileType.File
        )

    def names(self, suffix: str = "") -> list[str]:
        """List the names of files and folders directly in this folder, sorted. Empty if the folder does not exist."""
        try:
            infos = self.filesystem.get_file_info(pafs.FileSelector(self.path))
        except FileNotFoundError:  # `allow_not_found` would also raise it if the folder is created meanwhile
            return []
        return sorted(info.base_name for info in infos if info.base_name.endswith(suffix))

    def read_bytes(self, name: str) -> bytes:
        """Read a file."""
        with self.filesystem.open_input_stream(self._file(name)) as stream:
            return bytes(stream.read())

    def read_text(self, name: str) -> str:
        """Read a UTF-8 file.

        Raises:
            CorruptFileError: The file is not UTF-8 text.
        """
        try:
            return self.read_bytes(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorruptFileError(self.address(name), f"not UTF-8 text at byte {error.start:,}") from None

    def read_model(self, name: str, model: type[M]) -> M:
        """Read a JSON file as a model.

        Raises:
            CorruptFileError: The file is not valid JSON, or does not match the model.
        """
        text = self.read_text(name)
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            raise CorruptFileError(self.address(name), problem_of(error, text)) from None

    def read_json(self, name: str) -> Any:
        """Read a JSON file that `write_json` has written, or another JSON file, which has no checksum.

        Raises:
            CorruptFileError: The file is not valid JSON, or its checksum is wrong.
        """
        text = self.read_text(name)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CorruptFileError(self.address(name), f"not valid JSON: {error}" if text else "empty") from None
        if isinstance(value, dict) and not take_checksum(value):
            raise CorruptFileError(self.address(name), "the checksum is wrong")
        return value

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON object with a checksum, as the additional key `sha256`."""
        self.write_text(name, json.dumps(with_checksum(value)))

    def address(self, name: str) -> str:
        """Return the path or URI of a file in this folder."""
        return f"{self.uri.rstrip('/')}/{name}"

    def write_text(self, name: str, text: str) -> None:
        """Write a UTF-8 file atomically."""

        def write(stream: Any) -> None:
            stream.write(text.encode("utf-8"))

        self._write(name, write)

    def write_lines(self, name: str, lines: Iterable[str]) -> None:
        """Write a UTF-8 file atomically, line by line."""

        def write(stream: Any) -> None:
            for line in lines:
                stream.write(f"{line}\n".encode())

        self._write(name, write)

    def open(self, name: str) -> Any:
        """Open a file for reading. The result is a context manager."""
        return self.filesystem.open_input_file(self._file(name))

    def move_to(self, target: Folder) -> None:
        """Move this folder to another path in the same storage. The target must not exist.

        In an object store, files are copied and then deleted. Files whose names begin with `_` (manifests) mark a
        folder as complete. They are copied last and deleted first, so an interrupted move never leaves an incomplete
        folder with a manifest.
        """
        if self.is_local:
            Path(target.path).parent.mkdir(parents=True, exist_ok=True)
            self.filesystem.move(self.path, target.path)
            return
        markers = [name for name in self.names() if name.startswith("_")]
        infos = self.filesystem.get_file_info(pafs.FileSelector(self.path, recursive=True))
        files = [info.path[len(self.path) + 1 :] for info in infos if info.type == pafs.FileType.File]

        def copy(name: str) -> None:
            self.filesystem.copy_file(self._file(name), target._file(name))

        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            list(pool.map(copy, [name for name in files if name not in markers]))
        for name in markers:
            copy(name)
        for name in reversed(markers):
            self.remove(name)
        self.delete()

    def copy_to(self, target: Folder) -> None:
        """Copy all files to another folder, recursively. If that fails, the target may have incomplete files."""
        target._make()
        with full_disk_errors(target.uri):
            pafs.copy_files(
                self.path, target.path, source_filesystem=self.filesystem, destination_filesystem=target.filesystem
            )

    def move_file_to(self, name: str, target: Folder) -> None:
        """Move one file to another folder of the same storage."""
        target._make()
        self.filesystem.move(self._file(name), target._file(name))

    def remove(self, name: str) -> None:
        """Delete one file."""
        self.filesystem.delete_file(self._file(name))

    def sweep(self) -> None:
        """Delete the temporary files of interrupted writes. Call this only while no other process writes here."""
        for name in self.names():
            if name.startswith(PARTIAL):
                self.remove(name)

    def delete(self) -> None:
        """Delete this folder recursively. A no-op if it does not exist."""
        if self.exists():
            self.filesystem.delete_dir(self.path)

    def _file(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}" if name else self.path

    def _make(self) -> None:
        """Create this local folder. In an object store, a folder is only a key prefix and need not be created."""
        if self.is_local:
            with full_disk_errors(self.uri):
                Path(self.path).mkdir(parents=True, exist_ok=True)

    def _write(self, name: str, write: Any) -> None:
        """Write a file atomically. `write` is called with a binary stream and writes the content to it.

        On a local disk, the content goes to a temporary file that is then renamed. For an object store, it first goes
        to a memory buffer, because closing a stream to an object store publishes its content even after an error.
        """
        self._make()
        if self.is_local:
            partial = Path(self._file(f"{PARTIAL}{uuid.uuid4().hex}"))
            with full_disk_errors(self.address(name)), removed_on_error(partial):
                with self.filesystem.open_output_stream(str(partial)) as stream:
                    write(stream)
                partial.replace(self._file(name))
        else:
            buffer = pa.BufferOutputStream()
            write(buffer)
            with self.filesystem.open_output_stream(self._file(name)) as stream:
                stream.write(buffer.getvalue())
