"""Retriever that asks PostgreSQL with a SELECT statement, in read-only transactions with a time limit."""

from __future__ import annotations

import math
from typing import Any

from actors.retrieval.engine_retriever import EngineRetriever, QueryRefusedError, TemporaryFailureError
from ranking.engine_settings import SqlSettings
from ranking.errors import InputError, first_line
from ranking.records import Query
from ranking.retrieval.engine_hits import AnswerError, EngineHit, hits_of_rows

_DENIED = ("authentication failed", "no pg_hba.conf entry", "no password supplied", " does not exist")
"""Parts of the messages with which PostgreSQL ends a connection. Trying again would not help."""


class SqlRetriever(EngineRetriever):
    """Asks PostgreSQL. Every query is a read-only transaction, with a server-side cursor that reads `depth` rows.

    Args:
        settings: Settings of the database and the statement.

    Raises:
        InputError: A package is missing, or the address is not valid.
    """

    def __init__(self, settings: SqlSettings) -> None:
        check_sql_packages()
        import sqlalchemy

        try:
            url = sqlalchemy.make_url(settings.url)
        except (sqlalchemy.exc.ArgumentError, ValueError):
            raise InputError(
                f"setting 'candidates.retrievers', {settings.list_name!r}: url must be "
                "postgresql://USER@HOST:PORT/DATABASE"
            ) from None
        super().__init__(settings, url.set(password=None, query={}).render_as_string())
        password = self.environment.value_of(settings.password_env) if settings.password_env else None
        timeout = settings.timeout_seconds
        self._limits = ("SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = {math.ceil(timeout * 1000)}")
        self._statement = sqlalchemy.text(settings.query)
        self._engine = sqlalchemy.create_engine(
            url.set(drivername="postgresql+psycopg", password=password),
            pool_size=settings.concurrency,
            max_overflow=0,
            hide_parameters=True,
            connect_args={
                "application_name": "rradistill",
                "connect_timeout": math.ceil(timeout),
                "tcp_user_timeout": math.ceil(timeout * 2000),
            },
        )

    def ask(self, query: Query, depth: int) -> list[EngineHit]:
        """Ask the database once. See the base class."""
        from sqlalchemy import exc

        try:
            return hits_of_rows(self._rows(query.text, depth))
        except exc.OperationalError as error:
            problem = first_line(error.orig or error)
            if any(part in str(error.orig) for part in _DENIED):
                raise AnswerError(problem) from None
            raise TemporaryFailureError(problem) from None
        except (exc.DataError, exc.ProgrammingError) as error:
            raise QueryRefusedError(f"the database refuses the query ({first_line(error.orig or error)})") from None
        except exc.DBAPIError as error:
            problem = first_line(error.orig or error)
            raise (TemporaryFailureError if error.connection_invalidated else AnswerError)(problem) from None
        except exc.SQLAlchemyError as error:
            raise AnswerError(first_line(error)) from None

    def _rows(self, query: str, depth: int) -> list[dict[str, Any]]:
        with self._engine.connect() as connection, connection.begin():
            for statement in self._limits:
                connection.exec_driver_sql(statement)
            options = {"stream_results": True, "max_row_buffer": depth}
            result = connection.execute(self._statement, {"query": query, "depth": depth}, execution_options=options)
            return [dict(row) for row in result.mappings().fetchmany(depth)]


def check_sql_packages() -> None:
    """Raise InputError if SQLAlchemy or the driver of PostgreSQL is not installed."""
    try:
        import psycopg  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise InputError(
            "setting 'candidates.retrievers': kind: sql needs the packages sqlalchemy and psycopg; install the extra "
            "'.[sql]'"
        ) from None
