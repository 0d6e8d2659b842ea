"""Tables in PostgreSQL: sent from Delta by COPY in one transaction, so that readers see all of them as before or all as after it.

Rows are replaced within the tables, by partition: views, indexes and rights that people have added stay. The schema `lakehouse` of the
database says what each table holds. A trigger forgets that as soon as anybody else writes to the table, and the record of a table that
is dropped goes with it: so the record can be trusted, and what an accident took out is sent again.

Only this module knows ADBC. It is imported when a connection is opened.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from deltalake import DeltaTable
from pydantic import SecretStr

from lakehouse_assets.books.records import contents, table_id
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.duck import new_connection, table_view
from lakehouse_assets.delta.tables import dates_predicate, sql_name, sql_text, table_facts
from lakehouse_assets.errors import PublishError, SettingsError
from lakehouse_assets.publish.served import Published, Served, State, tables_to_serve
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BATCH_ROWS = 65_536
"""So many rows of a table are in memory at once while it is sent."""

_OWN = "lakehouse"
"""The schema of the records."""

_LOCK_SECONDS = 60
"""For how long a table's lock is waited for. Meanwhile, readers that come later wait as well."""

_URL = re.compile(r"postgres(?:ql)?://(?:[^\s:@/?#]+@)?[^\s@?#/]*/[^\s@?#/]+(?:\?(?P<options>[^\s#]*))?")
_OPTIONS = {"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "target_session_attrs", "channel_binding"}

_RECORDS = f"""
CREATE TABLE {_OWN}.published (
    relation regclass PRIMARY KEY,
    delta_version bigint NOT NULL,
    rows bigint NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    run_id text NOT NULL,
    delta_id text NOT NULL,
    meaning text NOT NULL,
    columns jsonb NOT NULL,
    contents jsonb NOT NULL
)"""

_FORGET = f"""
CREATE OR REPLACE FUNCTION {_OWN}.forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM {_OWN}.published WHERE relation = TG_RELID;
    RETURN NULL;
END $$"""

_TRIGGER = "lakehouse_forget"

_HELD = f"""
SELECT n.nspname || '.' || c.relname, p.meaning, p.contents::text, (
    SELECT json_object_agg(attname, format_type(atttypid, atttypmod) ORDER BY attnum)::text
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
), p.columns::text
FROM {_OWN}.published AS p JOIN pg_class AS c ON c.oid = p.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace"""

_READING_VIEWS = """
SELECT DISTINCT a.attname::text, c.oid::regclass::text
FROM pg_depend AS d
JOIN pg_rewrite AS r ON r.oid = d.objid
JOIN pg_class AS c ON c.oid = r.ev_class
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = to_regclass($1) AND c.oid <> d.refobjid
ORDER BY 1, 2"""
"""The views that read a table's columns, by column."""


@dataclass(frozen=True)
class PostgresConfig:
    """The address of a database, without a password; the password; and the role that may read the tables."""

    url: str
    password: SecretStr | None
    reader: str

    def __post_init__(self) -> None:
        match = _URL.fullmatch(self.url)
        options = (match["options"] or "").split("&") if match else []
        if match is None or not {option.partition("=")[0] for option in options if option} <= _OPTIONS:
            raise SettingsError(
                "LAKEHOUSE_POSTGRES_URL: write the address of the database as postgresql://user@host:port/database, without a "
                f"password, which goes into LAKEHOUSE_POSTGRES_PASSWORD. Options that may follow: {', '.join(sorted(_OPTIONS))}."
            )
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", self.reader):
            raise SettingsError("LAKEHOUSE_POSTGRES_READER: a role's name has lower case letters, digits and _.")

    @property
    def address(self) -> str:
        """Host, port and database: what may be shown."""
        parts = urlsplit(self.url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def with_password(self) -> str:
        """The URL with the password: for the driver alone."""
        if self.password is None or not self.password.get_secret_value():
            return self.url
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        secret = quote(self.password.get_secret_value(), safe="")
        return urlunsplit(parts._replace(netloc=f"{user}:{secret}@{host}"))

    def without_password(self, text: str) -> str:
        """The text with the password struck out."""
        secret = self.password.get_secret_value() if self.password is not None else ""
        return text.replace(secret, "***").replace(quote(secret, safe=""), "***") if secret else text


@dataclass(frozen=True)
class Postgres:
    """Tables in schemas named after their layers, in one database."""

    config: PostgresConfig
    tables: tuple[Served, ...]
    name: str = "postgres"

    @property
    def kinds(self) -> set[str]:
        """See `Target.kinds`."""
        return {"postgres"}

    def held(self, wanted: Mapping[str, State]) -> dict[str, State]:
        """See `Target.held`."""
        del wanted
        with self._session() as session:
            return {title: record.state for title, record in _held(session).items()}

    def wanted(self, served: Served, table: DeltaTable, contents: Mapping[date, str]) -> State:
        """See `Target.wanted`."""
        columns = {field.name: _type(field.type) for field in _schema(table)}
        facts = [served.description, dict(served.columns), served.key, served.looked_up, self.config.reader]
        return State(columns, contents, hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16])

    def publish(self, root: Root, tables: Sequence[Served], run_id: str) -> Iterator[Published]:
        """Send what differs of these tables, all in one transaction. A table whose columns can't follow is left as it was."""
        with self._session() as session:
            # One publisher at a time. What the one before has sent is then visible, and the tables opened below are no older.
            session.rows(f"SELECT pg_advisory_xact_lock(hashtextextended({sql_text(_OWN)}, 0))::text")
            _prepare(session, self.config.reader)
            opened = tables_to_serve(root, tables)
            wanted = {
                served: self.wanted(served, table, contents(root, served.layer, served.name, table))
                for served, table in opened.items()
            }
            held = _held(session)
            for served in sorted((s for s, state in wanted.items() if state != _state(held, s)), key=lambda s: s.title):
                _lock(session, served)
            held = _held(session)  # what others wrote before the lock counts
            outcome = []
            with new_connection(root) as duck:
                for served, state in wanted.items():
                    table = opened[served]
                    done = Published(served, table.version(), columns=state.columns)
                    if state != _state(held, served):
                        move = _Move(session, duck, root, served, table, state, held.get(served.title), self.config.reader)
                        done = move.make(done, run_id)
                    outcome.append(done)
        # Only what is committed has happened.
        yield from outcome

    @contextmanager
    def _session(self) -> "Iterator[_Session]":
        """A connection in a transaction, which is committed at the end unless an error ends it."""
        import adbc_driver_manager.dbapi as dbapi
        import adbc_driver_postgresql.dbapi as driver

        try:
            connection = driver.connect(self.config.with_password)
        except dbapi.Error as error:
            # The driver's own words, of libpq, name host, user and what is wrong.
            reason = " ".join(str(error).partition("Failed to connect:")[2].split()) or "no reason given"
            raise SettingsError(
                f"LAKEHOUSE_POSTGRES_URL: {self.config.address} can't be reached: {self.config.without_password(reason)}"
            ) from None
        session = _Session(connection)
        try:
            with connection:
                session.run("SET tcp_keepalives_idle = 60")  # otherwise the locks of a machine that is gone stay for hours
                session.run("SET tcp_keepalives_interval = 10")
                session.run("SET standard_conforming_strings = on")
                yield session
                connection.commit()
        except dbapi.Error as error:
            raise _reported(self.config, session, error) from None


@dataclass
class _Session:
    """An open transaction. `doing` is the table that it is at."""

    connection: Any
    doing: str = ""

    def run(self, sql: str) -> None:
        """Run a command."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query over `$1`, `$2`, …"""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def copy(self, served: Served, rows: "pa.RecordBatchReader") -> int:
        """Append rows to a table by COPY in PostgreSQL's binary format, and return how many."""
        with self.connection.cursor() as cursor:
            return int(cursor.adbc_ingest(served.name, rows, mode="append", db_schema_name=served.layer))


@dataclass(frozen=True)
class _Record:
    """What the database says of a table, and the columns that it was published with."""

    state: State
    published: frozenset[str]


def _state(held: Mapping[str, _Record], served: Served) -> State | None:
    record = held.get(served.title)
    return record.state if record is not None else None


def _held(session: _Session) -> dict[str, _Record]:
    """Return what the database says that it holds, by title, with the columns that the tables have in fact."""
    if not session.rows("SELECT 1 WHERE to_regclass($1) IS NOT NULL", f"{_OWN}.published"):
        return {}
    return {
        title: _Record(
            State(json.loads(columns), {date.fromisoformat(d): content for d, content in json.loads(of).items()}, meaning),
            frozenset(json.loads(published)),
        )
        for title, meaning, of, columns, published in session.rows(_HELD)
    }


def _prepare(session: _Session, reader: str) -> None:
    """Create the records and the role of readers, if they are missing."""
    session.run(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
    _ensure_schema(session, _OWN)
    if not session.rows("SELECT 1 WHERE to_regclass($1) IS NOT NULL", f"{_OWN}.published"):
        session.run(_RECORDS)
        session.run(_FORGET)
    if not session.rows("SELECT 1 FROM pg_roles WHERE rolname = $1", reader):
        may = session.rows("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")
        if not may or not may[0][0]:
            raise SettingsError(
                f"LAKEHOUSE_POSTGRES_READER: there is no role {reader}, and this user may create none. Let one who may run "
                f"`CREATE ROLE {reader} NOLOGIN`; readers are then users `IN ROLE {reader}`."
            )
        session.run(f"CREATE ROLE {sql_name(reader)} NOLOGIN")
    session.run(f"DELETE FROM {_OWN}.published AS p WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = p.relation)")


def _ensure_schema(session: _Session, name: str) -> None:
    # IF NOT EXISTS would need the right to create one even where it exists.
    if not session.rows("SELECT 1 FROM pg_namespace WHERE nspname = $1", name):
        session.run(f"CREATE SCHEMA {sql_name(name)}")


def _lock(session: _Session, served: Served) -> None:
    """Keep others from writing to a table, if it exists. Reading goes on."""
    session.doing = served.title
    if _columns(session, served):
        session.run(f"LOCK TABLE {_quoted(served)} IN SHARE ROW EXCLUSIVE MODE")


def _columns(session: _Session, served: Served) -> dict[str, str]:
    """Return the types of a table's columns; empty if there is no such table."""
    found = session.rows(
        """SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
        _quoted(served),
    )
    return dict(found)


def _quoted(served: Served) -> str:
    return f"{sql_name(served.layer)}.{sql_name(served.name)}"


@dataclass(frozen=True)
class _Move:
    """One table on its way to what it should hold."""

    session: _Session
    duck: "duckdb.DuckDBPyConnection"
    root: Root
    served: Served
    table: DeltaTable
    wanted: State
    held: _Record | None
    reader: str

    def make(self, unsent: Published, run_id: str) -> Published:
        """Send what differs, unless the table's columns can't follow: then say why."""
        self.session.doing = self.served.title
        present = _columns(self.session, self.served)
        if (refusal := self._untyped() or (self._refusal(present) if present else None)) is not None:
            return Published(self.served, unsent.delta_version, refusal=refusal)
        added = [name for name in self.wanted.columns if name not in present]
        if not present:
            self._create()
        elif added:
            self.session.run(f"ALTER TABLE {_quoted(self.served)} " + ", ".join(f"ADD COLUMN {self._column(c)}" for c in added))
        # A column that somebody dropped comes back with all its rows; one that is new has values only in files that are new.
        whole = self.held is None or not self.held.published.isdisjoint(added)
        dates = set(self.wanted.contents) if whole else self.wanted.differing(self.held.state if self.held else None)
        rows = self._send(dates, whole=whole)
        if not present:
            self._index()
        if not present or added or self.held is None or self.held.state.meaning != self.wanted.meaning:
            self._describe()
        self._record(run_id)
        return Published(self.served, unsent.delta_version, rows, len(dates), self.wanted.columns)

    def _untyped(self) -> str | None:
        """Say which columns have a type that PostgreSQL lacks; None if none has."""
        lacking = [f"{field.name} ({field.type})" for field in _schema(self.table) if not _is_known(field.type)]
        return f"PostgreSQL gets values, not lists or records of them: {', '.join(lacking)}." if lacking else None

    def _refusal(self, present: Mapping[str, str]) -> str | None:
        """Say why the table that is there can't be used; None if it can."""
        title = self.served.title
        trigger = "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2"
        if not self.session.rows(trigger, _quoted(self.served), _TRIGGER):
            return f"the database has a table {title} that the lakehouse has not made. Rename or drop it; the next pass makes its own."
        removed = [name for name in present if name not in self.wanted.columns]
        retyped = [name for name, kind in self.wanted.columns.items() if present.get(name, kind) != kind]
        if not removed and not retyped:
            return None
        changes = [f"{name} is gone" for name in removed]
        changes += [f"{name} was {present[name]} and is {self.wanted.columns[name]}" for name in retyped]
        views: dict[str, list[str]] = {}
        for column, view in self.session.rows(_READING_VIEWS, _quoted(self.served)):
            if column in (*removed, *retyped):
                views.setdefault(view, []).append(column)
        read_by = ", ".join(f"{view} ({', '.join(columns)})" for view, columns in views.items())
        drops = ", ".join(f"DROP COLUMN {sql_name(name)}" for name in (*removed, *retyped))
        return (
            f"its columns have changed: {'; '.join(changes)}. "
            + (f"These views read them: {read_by}. Change them first; then run " if views else "No view reads them. Run ")
            + f"`ALTER TABLE {title} {drops}` in the database: the next pass sends the table with its new columns."
        )

    def _column(self, name: str) -> str:
        return f"{sql_name(name)} {self.wanted.columns[name]}"

    def _create(self) -> None:
        _ensure_schema(self.session, self.served.layer)
        columns = ", ".join(self._column(name) for name in self.wanted.columns)
        self.session.run(f"CREATE TABLE {_quoted(self.served)} ({columns})")
        self.session.run(
            f"CREATE TRIGGER {_TRIGGER} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {_quoted(self.served)} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_OWN}.forget()"
        )

    def _send(self, dates: Collection[date], *, whole: bool) -> int:
        """Replace the rows of these dates, or all. Returns how many rows were sent."""
        if whole:
            self.session.run(f"DELETE FROM {_quoted(self.served)}")
        elif dates:
            self.session.run(f"DELETE FROM {_quoted(self.served)} WHERE {dates_predicate(dates)}")
        if not dates:
            return 0
        table_view(self.duck, "sent", self.root.table(self.served.layer, self.served.name), self.table)
        columns = ", ".join(_sent(field.name, field.type) for field in _schema(self.table))
        of_dates = "" if whole else f" WHERE {dates_predicate(dates)}"
        return self.session.copy(
            self.served, self.duck.execute(f"SELECT {columns} FROM sent{of_dates}").to_arrow_reader(_BATCH_ROWS)
        )

    def _index(self) -> None:
        """Make the key and the indexes of a new table: faster after its rows than before."""
        table, key = _quoted(self.served), [name for name in self.served.key if name in self.wanted.columns]
        if key and key == list(self.served.key):
            self.session.run(f"ALTER TABLE {table} ADD PRIMARY KEY ({', '.join(map(sql_name, key))})")
        for column in (DATE_COLUMN, *self.served.looked_up):
            self.session.run(f"CREATE INDEX ON {table} ({sql_name(column)})")
        self.session.run(f"ANALYZE {table}")

    def _describe(self) -> None:
        """Give descriptions to table and columns, and the right to read to the readers' role."""
        table = _quoted(self.served)
        self.session.run(f"COMMENT ON TABLE {table} IS {sql_text(self.served.description)}")
        for name, description in self.served.columns.items():
            if name in self.wanted.columns:
                self.session.run(f"COMMENT ON COLUMN {table}.{sql_name(name)} IS {sql_text(description)}")
        self.session.run(f"GRANT USAGE ON SCHEMA {sql_name(self.served.layer)} TO {sql_name(self.reader)}")
        self.session.run(f"GRANT SELECT ON {table} TO {sql_name(self.reader)}")

    def _record(self, run_id: str) -> None:
        """Record what the table holds now. The trigger has forgotten what it held."""
        held = {day.isoformat(): content for day, content in sorted(self.wanted.contents.items())}
        self.session.run(f"DELETE FROM {_OWN}.published WHERE relation = {sql_text(_quoted(self.served))}::regclass")
        values = (
            f"{sql_text(_quoted(self.served))}::regclass",
            str(self.table.version()),
            str(table_facts(self.table).rows),
            sql_text(run_id),
            sql_text(table_id(self.table)),
            sql_text(self.wanted.meaning),
            f"{sql_text(json.dumps(list(self.wanted.columns)))}::jsonb",
            f"{sql_text(json.dumps(held))}::jsonb",
        )
        names = "relation, delta_version, rows, run_id, delta_id, meaning, columns, contents"
        self.session.run(f"INSERT INTO {_OWN}.published ({names}) VALUES ({', '.join(values)})")


def _reported(config: PostgresConfig, session: _Session, error: Any) -> PublishError:
    """Return the database's own sentence. What follows it quotes rows, and is left out."""
    details = {_text(key): _text(value) for key, value in error.details or ()}
    message = details.get("PG_DIAG_MESSAGE_PRIMARY") or str(error).partition("\n")[0]
    where = f"postgres/{session.doing}: " if session.doing else ""
    return PublishError(
        f"{where}{config.address} answers: {config.without_password(message)}. Nothing was published; the tables there are as before."
    )


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _schema(table: DeltaTable) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(table.schema().to_arrow())


_TYPES = {
    "bool": "boolean",
    "int8": "smallint",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "real",
    "double": "double precision",
    "string": "text",
    "large_string": "text",
    "string_view": "text",
    "binary": "bytea",
    "large_binary": "bytea",
    "binary_view": "bytea",
    "date32[day]": "date",
    "timestamp[us, tz=UTC]": "timestamp with time zone",
    "timestamp[us]": "timestamp without time zone",
}
"""PostgreSQL's types, as it writes them, by Arrow's."""


def _type(kind: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    return _TYPES.get(str(kind), str(kind))


def _is_known(kind: "pa.DataType") -> bool:
    return str(kind) in _TYPES or _type(kind) != str(kind)


def _sent(name: str, kind: "pa.DataType") -> str:
    """SQL: a column as PostgreSQL takes it."""
    column, type_ = sql_name(name), _type(kind)
    if type_ == "text":
        # The one character that a text of PostgreSQL can't have.
        return f"replace({column}, chr(0), chr(65533)) AS {column}"
    # DuckDB calls eight bytes int8; PostgreSQL has no integer of one byte.
    return f"CAST({column} AS SMALLINT) AS {column}" if type_ == "smallint" else column
