"""Whatever a file is called, it is loaded under that name, or named with a reason; and none hides its neighbours."""

import http.server
import os
import subprocess
import threading
import unicodedata
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from lakehouse_assets.errors import LandingError, SettingsError, UnreadableError
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.store.root import Root
from tests.support.hand import eraser, hand
from tests.support.orders import ORDERS

START, DAY = date(2026, 1, 1), date(2026, 1, 31)
ENTITY = "landing/shop/orders/"
FOLDER = f"{ENTITY}{DAY}/"

UNUSUAL = [
    *("plain.csv", "no_end", " lead.csv", "trail ", "-rf", "~", "%", "CON", "a..csv", "a...", "k" * 200),
    *(f"a{c}b.csv" for c in " %*?[]{}=#'\"\\~|<>&+:;@$^`,!()-"),
    *("a%20b.csv", "a%2Fb.csv", "a%2e%2e.csv", "$(x).csv", "'; DROP TABLE x; --.csv", "x' OR '1'='1", "''"),
    *("\u00fc.csv", unicodedata.normalize("NFD", "\u00fc.csv"), "\u65e5\u672c.csv", "\U0001f600.csv", "M\ufffdller.csv"),
    *("a\tb.csv", "a\nb.csv", "a\rb.csv", "a\x7fb.csv", "a\x85b.csv", "a\u2028b.csv", "a\u202eb.csv", "\ufeffa.csv", "x.tmp\n"),
    *("sub/x.csv", "x/2026-02-01/a.csv", "x_date=2026-01-01/a.csv", "date=2026-01-01", "s/" * 60 + "deep.csv"),
]
BEYOND_XML = ["a\x01b.csv", "c\x1b[31md.csv", "\ufffe.csv"]
"""Names that an XML listing can't say: MinIO encodes them, versitygw puts U+FFFD in place of the character."""


def text(number: int, change: int = 0) -> bytes:
    """A file with a row, and one that goes to quarantine."""
    return f"id,at,amount\nA{number},1,{change}\nB{number},{change}\n".encode()


@pytest.fixture
def longest(landing):
    """A name with which the key has 1,024 bytes, in folders that a file system takes."""
    start = ("n" * 200 + "/") * 4
    room = 1024 - len(f"{landing.root.prefix}/{FOLDER}{start}")
    return f"{start}{'n' * (room - 101)}/{'n' * 100}"


def test_unusual_names_are_listed_and_read_as_they_are(store, landing, put, longest):
    lost = BEYOND_XML if store == "versitygw" else []
    expected = [*UNUSUAL, longest, *(name for name in BEYOND_XML if name not in lost)]
    for number, name in enumerate([*expected, *lost]):
        put(FOLDER + name, text(number))
    listing = landing.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == sorted(expected)
    assert len(listing.ignored) == len(lost)
    assert all("XML" in reason for _, reason in listing.ignored)
    for landed in listing.objects:
        assert b"".join(landing.read(landed)) == text(expected.index(landed.name))
        assert landing.version(landed) == landed.version
        assert landing.size("shop/orders", DAY, landed.name) == landed.size
    assert landing.dates("shop/orders", START) == [DAY]
    assert landing.listing("shop/orders", START, [DAY]).objects == listing.objects


@pytest.mark.worlds("sail-folder", "sail-minio", "sail-versitygw")
def test_unusual_names_go_through_all_stages_and_out_again(make_lakehouse):
    shop = make_lakehouse(ORDERS)
    put, erase = hand(shop.settings.root), eraser(shop.settings.root)
    for number, name in enumerate(UNUSUAL):
        put(FOLDER + name, text(number))
    assert shop.build() == {}
    assert shop.plan().is_empty
    for change in (0, 1):
        for table, count in (("raw.shop_orders", 1), ("silver.shop_orders", 1), ("quarantine.rows", 1)):
            column = "source_file" if table == "quarantine.rows" else "_source_file"
            rows = [row[column] for row in shop.rows(table, column)]
            assert sorted(rows) == sorted(UNUSUAL * count), table
        assert {row["amount"] for row in shop.rows("raw.shop_orders", "amount")} == {str(change)}
        for number, name in enumerate(UNUSUAL):
            put(FOLDER + name, text(number, change=1))
        assert shop.build() == {}
    for name in UNUSUAL[1:]:
        erase(FOLDER + name)
    assert shop.build() == {}
    for table in ("raw.shop_orders", "silver.shop_orders"):
        assert [row["_source_file"] for row in shop.rows(table, "_source_file")] == [UNUSUAL[0]]
    assert [row["source_file"] for row in shop.rows("quarantine.rows", "source_file")] == [UNUSUAL[0]]


def test_hidden_and_unfinished_names_are_passed_over(landing, put):
    hidden = [
        ".x.csv",
        "_x.csv",
        "...",
        "..a",
        "x.tmp",
        "x.TMP",
        "x.part",
        "_date=2026-01-01",
        "_SUCCESS",
        "sub/.x/a.csv",
        "s/_x",
    ]
    for name in [*(FOLDER + h for h in hidden), f"{ENTITY}.staging/x.csv", f"{ENTITY}_temporary/{DAY}/x.csv", FOLDER + "a.csv"]:
        put(name, b"id\n1\n")
    listing = landing.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["a.csv"]
    assert listing.ignored == []


def test_a_folder_that_is_no_date_of_a_partition_is_named(landing, put):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    reasons = {
        "2026-13-45": "not a date",
        "20260131": "not a date",
        "2026-1-1": "not a date",
        "2026-W05-6": "not a date",
        "2026-01-31x": "not a date",
        "2026-01-31-old": "not a date",
        "\uff12026-01-01": "not a date",
        "a\nb": "not a date",
        "2025-12-31": "before LAKEHOUSE_START_DATE (2026-01-01)",
        str(tomorrow): "in the future",
    }
    for folder in [*reasons, str(DAY)]:
        put(f"{ENTITY}{folder}/x.csv", b"id\n1\n")
    put(f"{ENTITY}loose.csv", b"id\n1\n")
    listing = landing.listing("shop/orders", START)
    assert [o.date for o in listing.objects] == [DAY]
    ignored = dict(listing.ignored)
    assert ignored.pop(f"{ENTITY}loose.csv") == "it is beside the date folders, not in one"
    assert len(ignored) == len(reasons)
    for folder, reason in reasons.items():
        assert reason in ignored[f"{ENTITY}{folder}/x.csv".replace("\n", "\\n")], folder
    assert landing.dates("shop/orders", START) == [DAY]
    assert [o.date for o in landing.listing("shop/orders", START, [DAY]).objects] == [DAY]


def test_an_empty_file_is_an_object_and_a_mark_of_a_folder_is_none(store, landing, put):
    put(FOLDER + "empty.csv", b"")
    if store != "folder":
        for mark in (ENTITY, FOLDER, FOLDER + "sub/", f"{ENTITY}2026-01-30/"):
            put(mark, b"")
    listing = landing.listing("shop/orders", START)
    assert [(o.name, o.size) for o in listing.objects] == [("empty.csv", 0)]
    assert listing.ignored == []


def test_bytes_under_the_key_of_a_folder_are_named_and_hide_no_file_of_that_name(stores, monkeypatch):
    for name, value in stores("minio").items():
        monkeypatch.setenv(name, value)
    root = Root.parse(os.environ["LAKEHOUSE_ROOT"])
    hand(root)(FOLDER + "x/", b"id\n1\n")
    hand(root)(FOLDER + "y", b"id\n2\n")
    listing = Landing(root).listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["y"]
    assert listing.ignored == [(FOLDER + "x/", "its key ends with a slash, as a folder's does")]


@pytest.fixture
def local(tmp_path):
    root = Root.parse(str(tmp_path / "lakehouse"))
    hand(root)(FOLDER + "a.csv", b"id\n1\n")
    return Landing(root)


def test_symbolic_links_are_named_and_not_followed(local, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("id\n1\n")
    folder = Path(local.root.uri, FOLDER)
    for name, target in {
        "file.csv": outside / "secret.csv",
        "folder": outside,
        "loop": "..",
        "self": "self",
        "gone": "no",
    }.items():
        (folder / name).symlink_to(target)
    folder.with_name("2026-01-30").symlink_to(outside)
    listing = local.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["a.csv"]
    assert [path for path, reason in listing.ignored if "symbolic link" in reason] == [
        f"{ENTITY}2026-01-30",
        *(FOLDER + name for name in ("file.csv", "folder", "gone", "loop", "self")),
    ]
    assert local.dates("shop/orders", START) == [DAY]


def test_a_landing_folder_may_itself_be_a_link(local, tmp_path):
    Path(local.root.uri, "landing/shop").rename(tmp_path / "drop")
    Path(local.root.uri, "landing/shop").symlink_to(tmp_path / "drop")
    assert [o.name for o in local.listing("shop/orders", START).objects] == ["a.csv"]
    assert local.dates("shop/orders", START) == [DAY]


def test_what_is_no_file_is_named(local):
    os.mkfifo(Path(local.root.uri, FOLDER, "pipe.csv"))
    listing = local.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["a.csv"]
    assert listing.ignored == [(FOLDER + "pipe.csv", "it is not a file")]


def test_a_name_that_is_not_utf8_is_named_so_that_it_can_be_printed(local):
    with Path(os.fsdecode(os.fsencode(Path(local.root.uri, FOLDER)) + b"/M\xfcller.csv")).open("w"):
        pass
    listing = local.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["a.csv"]
    assert listing.ignored == [(FOLDER + "M\\udcfcller.csv", "its name is not UTF-8")]


def test_folders_nested_deeper_than_a_path_can_say_hide_nothing(local):
    folder = os.open(Path(local.root.uri, FOLDER), os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    hand(local.root)(FOLDER + "z.csv", b"id\n1\n")
    listing = local.listing("shop/orders", START)
    subprocess.run(["rm", "-r", Path(local.root.uri, FOLDER, "d")], check=True)  # pytest's own clean-up can't
    assert [o.name for o in listing.objects] == ["a.csv", "z.csv"]
    assert [reason for _, reason in listing.ignored] == ["its path is longer than the system allows"]


def test_what_obstore_is_still_writing_is_not_taken_for_a_file(local):
    hand(local.root)(FOLDER + "a.csv#1", b"id\n1")
    listing = local.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["a.csv"]
    assert "still being written" in listing.ignored[0][1]


@pytest.mark.parametrize(("code", "why"), [(13, "no right"), (5, "EIO"), (116, "ESTALE")])
def test_a_folder_that_can_not_be_read_is_named_and_not_taken_for_empty(local, monkeypatch, code, why):
    closed(monkeypatch, str(DAY), code)
    listing = local.listing("shop/orders", START)
    assert (listing.objects, listing.hidden) == ([], (str(DAY),))
    [(path, reason)] = listing.ignored
    assert path == f"landing/shop/orders/{DAY}"
    assert why in reason
    assert local.dates("shop/orders", START) == [DAY]


def test_a_feed_s_folder_that_can_not_be_read_is_named(local, monkeypatch):
    closed(monkeypatch, "orders")
    assert local.listing("shop/orders", START).hidden == ("",)
    with pytest.raises(UnreadableError, match="landing/shop/orders can't be read: this user has no right to read it"):
        local.dates("shop/orders", START)


def test_a_disk_that_fails_everywhere_is_an_error(local, monkeypatch):
    closed(monkeypatch, str(DAY), 28)
    with pytest.raises(SettingsError):
        local.listing("shop/orders", START)


def closed(monkeypatch, name, code=13):
    """Let a folder refuse to be listed. That this user may read all makes no difference."""
    real = os.scandir

    def scandir(path):
        if str(path).rstrip("/").endswith(name):
            raise OSError(code, os.strerror(code), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize("name", ["a\nb.csv", "x.csv#1", "_x.csv", "x.part"])
def test_a_file_is_not_landed_under_a_name_that_would_not_be_loaded(local, tmp_path, name):
    (tmp_path / name).write_text("id\n1\n")
    with pytest.raises(LandingError, match="rename"):
        local.put("shop/orders", DAY, tmp_path / name)
    assert [o.name for o in local.listing("shop/orders", START).objects] == ["a.csv"]


def test_errors_of_the_store_are_told_in_a_sentence(stores, monkeypatch):
    for name, value in stores("minio").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="there is no bucket no-such-bucket"):
        Landing(Root.parse("s3://no-such-bucket/x")).listing("shop/orders", START)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SettingsError, match="nothing answers"):
        Landing(Root.parse(os.environ["LAKEHOUSE_ROOT"])).dates("shop/orders", START)


class AnyKey(http.server.BaseHTTPRequestHandler):
    """S3 as AWS has it, where a key is any text: MinIO refuses empty and dotted folders, versitygw resolves them."""

    objects: ClassVar[dict[str, bytes]] = {}
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        key, asked = unquote(url.path).removeprefix("/bucket").removeprefix("/"), parse_qs(url.query)
        if "list-type" in asked:
            after = asked.get("start-after", [""])[0]
            result = sorted(k for k in self.objects if k.startswith(asked["prefix"][0]) and k > after)
            items = "".join(
                f"<Contents><Key>{quote(k)}</Key><LastModified>2026-01-31T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{len(k)}&quot;</ETag><Size>{len(self.objects[k])}</Size></Contents>"
                for k in result
            )
            self.answer(f"<ListBucketResult><EncodingType>url</EncodingType>{items}</ListBucketResult>".encode())
        elif key in self.objects:
            self.answer(self.objects[key], ETag=f'"{len(key)}"')
        else:
            self.answer(b"<Error><Code>NoSuchKey</Code></Error>", status=404)

    def do_HEAD(self):
        self.do_GET()

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "Last-Modified": "Sat, 31 Jan 2026 00:00:00 GMT", **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def any_key(monkeypatch):
    """The objects of a store that takes every key, and landing on it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), AnyKey) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = {"ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "ALLOW_HTTP": "true"}
        for name, value in {**settings, "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "REGION": "us-east-1"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        AnyKey.objects = {}
        yield AnyKey.objects, Landing(Root.parse("s3://bucket"))
        server.shutdown()


def test_empty_folder_names_are_loaded(any_key):
    objects, landing = any_key
    for name in ("/z.csv", "sub//y.csv", "plain.csv"):
        objects[FOLDER + name] = name.encode()
    listing = landing.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["/z.csv", "plain.csv", "sub//y.csv"]
    for landed in listing.objects:
        assert b"".join(landing.read(landed)) == landed.name.encode()
        assert landing.version(landed) == landed.version
    del objects[FOLDER + "/z.csv"]
    assert landing.version(listing.objects[0]) is None
    with pytest.raises(FileNotFoundError):
        b"".join(landing.read(listing.objects[0]))


def test_dotted_folders_are_named_and_lead_nowhere(any_key):
    objects, landing = any_key
    dotted = ["../up.csv", "./dot.csv", "sub/../../../../../raw/t.csv", "..", ".", f"../{DAY}/b.csv", "a/.."]
    for name in [*dotted, "plain.csv"]:
        objects[FOLDER + name] = b"id\n1\n"
    objects[f"{ENTITY}../orders/{DAY}/c.csv"] = b"id\n1\n"
    objects[f"{ENTITY}/{DAY}/d.csv"] = b"id\n1\n"
    listing = landing.listing("shop/orders", START)
    assert [o.name for o in listing.objects] == ["plain.csv"]
    ignored = dict(listing.ignored)
    assert "not a date" in ignored.pop(f"{ENTITY}/{DAY}/d.csv")
    assert ignored.keys() == {*(FOLDER + name for name in dotted), f"{ENTITY}../orders/{DAY}/c.csv"}
    assert all("`..`" in reason for reason in ignored.values())
