"""Run Debian's PostgreSQL with a full-text index of the facts."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.testing.facts import FACTS
from tools.ports import free_ports

PASSWORD = "hush-5ql9"
QUERY = """
SELECT id, text, ts_rank(to_tsvector('english', text), words) AS score
FROM facts, to_tsquery('english', replace(plainto_tsquery('english', :query)::text, '&', '|')) AS words
WHERE to_tsvector('english', text) @@ words
ORDER BY score DESC, id LIMIT :depth
"""
"""SELECT of the facts that share a word with the query."""

_SEARCHED = [Path(folder) for folder in os.get_exec_path()] + sorted(Path("/usr/lib/postgresql").glob("*/bin"))
FOLDER = next(
    (folder for folder in _SEARCHED if (folder / "initdb").is_file() and (folder / "postgres").is_file()), None
)
"""Folder of PostgreSQL's programs; None if it is not installed."""


class PostgresServer:
    """A PostgreSQL server.

    Attributes:
        url: Address of the database for the role `reader`, without its password.
    """

    def __init__(self, folder, port):
        self.folder, self.port, self.process = folder, port, None
        self.url = f"postgresql://reader@127.0.0.1:{port}/postgres"
        # PostgreSQL refuses to run as root
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def create(self):
        """Create the data folder, with passwords for all connections."""
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [FOLDER / "initdb", "-D", self.folder / "data", "-U", "owner", "-A", "scram-sha-256", f"--pwfile={secret}",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, cwd="/", **self.user,
        )  # fmt: skip

    def start(self):
        """Start the server and wait until it accepts connections."""
        command = [FOLDER / "postgres", "-D", self.folder / "data", "-h", "127.0.0.1", "-p", str(self.port),
                   "-k", self.folder, "-c", "fsync=off"]  # fmt: skip
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self.user)
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with contextlib.suppress(psycopg.OperationalError):
                self.run("SELECT 1")
                return
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self):
        """End the server and all its connections."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def run(self, statement, *rows, **values):
        """Run a statement as the owner, once or once per row of values, and return the rows of its result."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="owner", password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            if rows:
                cursor.executemany(statement, rows)
            else:
                cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description and not rows else None


@contextmanager
def running_postgres():
    """Run a server with the facts in the table `facts`, and the role `reader`, which may also write to it."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = PostgresServer(folder, *free_ports(1))
    try:
        server.create()
        server.start()
        try:
            server.run(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            server.run("CREATE TABLE facts (id text PRIMARY KEY, text text NOT NULL)")
            server.run("GRANT ALL ON facts TO reader")
            server.run("INSERT INTO facts VALUES (%s, %s)", *FACTS)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
