"""Rounds over a real book with real receivers: each message arrives once, or again after a death, and nothing is lost meanwhile."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse_assets.alerts import alerter
from lakehouse_assets.alerts.alerter import alert
from lakehouse_assets.alerts.channels import channels_of
from lakehouse_assets.alerts.incidents import Found, Incident, Kind
from lakehouse_assets.alerts.telling import LEASE, Pace
from lakehouse_assets.books.incidents import Incidents
from lakehouse_assets.store.root import Root
from tests.support.receivers import mail_server, web_hook

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STALE = Found((Incident(Kind.stale, "silver.x", "is stale."),), frozenset({Kind.stale}))
SOUND = Found((), STALE.kinds)


@pytest.fixture
def hook():
    with web_hook() as server:
        yield server


def take(tmp_path, urls, found=STALE, now=START):
    return alert(Incidents(Root(str(tmp_path))), channels_of(urls), found, Pace(), lambda: now, "here")


def test_a_receiver_that_is_away_gets_its_message_once_it_is_back_and_the_other_is_not_told_twice(tmp_path, hook):
    hook.status = 500
    with mail_server() as (address, mails):
        urls = f"json://{hook.host}/x mailto://{address}?from=l@example.com&to=t@example.com"
        assert [(s.channel, s.error) for s in take(tmp_path, urls)] == [
            ("json-1", "json-1: the receiver answers 500."),
            ("mailto-1", None),
        ]
        assert take(tmp_path, urls) == []
        hook.status = 200
        [sent] = take(tmp_path, urls, now=START + MINUTE)
        assert (sent.channel, sent.error) == ("json-1", None)
        assert (len(hook.texts), len(mails)) == (1, 1)
        take(tmp_path, urls, SOUND, START + 2 * MINUTE)
        assert len(take(tmp_path, urls, SOUND, START + 8 * MINUTE)) == 2
    assert hook.texts[1].startswith("Over: A table is stale")
    assert [mail["Subject"] for mail in mails][1] == "[lakehouse] Over: A table is stale: silver.x"


def test_alerters_at_once_send_one_message(tmp_path, hook):
    hook.seconds = 0.2
    threads = [threading.Thread(target=take, args=(tmp_path, f"json://{hook.host}/x")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.texts) == 1


def test_who_is_killed_after_sending_leaves_a_message_that_is_sent_again(tmp_path, hook, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(alerter, "told", _killed)
        with pytest.raises(KeyboardInterrupt):
            take(tmp_path, f"json://{hook.host}/x")
    assert len(hook.texts) == 1
    assert take(tmp_path, f"json://{hook.host}/x", now=START + MINUTE) == []
    assert len(take(tmp_path, f"json://{hook.host}/x", now=START + LEASE)) == 1
    assert take(tmp_path, f"json://{hook.host}/x", now=START + LEASE + MINUTE) == []
    assert len(hook.texts) == 2


def _killed(*_):
    raise KeyboardInterrupt


def test_a_receiver_that_hangs_holds_up_no_other(tmp_path, hook, monkeypatch):
    monkeypatch.setattr("lakehouse_assets.alerts.channels.SEND_SECONDS", 0.3)
    with web_hook() as hanging:
        hanging.seconds = 2.0
        sent = take(tmp_path, f"json://{hanging.host}/x json://{hook.host}/x")
    assert [s.error for s in sent] == ["json-1: the receiver does not answer, or refuses.", None]
    assert len(hook.texts) == 1
