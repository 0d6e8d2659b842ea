"""Channels: each takes a message as its receiver wants it, says why one was not taken, and keeps its secrets."""

import io
import logging
import socket

import pytest
from apprise.plugins.slack import NotifySlack

from lakehouse_assets.alerts import channels as module
from lakehouse_assets.alerts.alerter import send_all
from lakehouse_assets.alerts.channels import channels_of
from lakehouse_assets.alerts.message import Message
from lakehouse_assets.alerts.telling import Topic
from lakehouse_assets.errors import AlertError, SettingsError
from tests.support.receivers import mail_server, sns, web_hook

MESSAGE = Message(
    "[lakehouse] New: A run failed: silver.crm_sales", "New: A run failed\n- silver.crm_sales: x_y *z* <b> & é", "failure"
)
SECRET = "T0000SECRET"


def send(url):
    [channel] = channels_of(url)
    channel.send(MESSAGE)


@pytest.fixture
def hook():
    with web_hook() as server:
        yield server


def test_a_web_hook_gets_json(hook):
    send(f"json://{hook.host}/{SECRET}")
    [(path, body)] = hook.posted
    assert (path, body["title"], body["message"], body["type"]) == (f"/{SECRET}", MESSAGE.title, MESSAGE.text, "failure")


def test_slack_gets_its_own_shape(hook, monkeypatch):
    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{hook.host}/services")
    send("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    [(path, body)] = hook.posted
    assert path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert "silver.crm_sales: x_y" in body["attachments"][0]["text"]
    assert "github" not in str(body)


def test_teams_gets_its_own_shape(hook, monkeypatch):
    # Teams is spoken to by HTTPS only: the port is that of a server that takes no TLS.
    monkeypatch.setattr("apprise.plugins.workflows.requests.post", _without_tls(hook))
    send(f"workflows://{hook.host}/wf1/{SECRET}")
    [(path, body)] = hook.posted
    assert path.startswith("/workflows/wf1/triggers/manual/paths/invoke?")
    [card] = body["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert "silver.crm" in str(card["content"]["body"])


def _without_tls(hook):
    import requests

    posted = requests.post
    return lambda url, **options: posted(url.replace("https://", "http://"), **options)


def test_a_mail_server_gets_a_mail():
    with mail_server() as (address, mails):
        send(f"mailto://{address}?from=lake@example.com&to=team@example.com")
    [mail] = mails
    assert (mail["Subject"], mail["To"]) == (MESSAGE.title, "team@example.com")
    assert "é" in mail.get_body().get_content()


def test_sns_gets_a_message_at_an_endpoint_of_its_own_and_not_at_that_of_the_store(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with sns() as (endpoint, arn, received):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", endpoint)
        send(arn)
        [message] = received()
        assert (message["Subject"], message["Message"]) == (MESSAGE.title, MESSAGE.text)
        with pytest.raises(AlertError, match=r"sns-1: SNS refuses \(NotFound\)"):
            send(arn.replace("alerts", "others"))
    with pytest.raises(AlertError, match="sns-1: SNS can't be asked"):
        send(arn)
    monkeypatch.delenv("AWS_ENDPOINT_URL_SNS")
    [topic] = channels_of(arn)
    assert topic.client().meta.endpoint_url == "https://sns.eu-west-1.amazonaws.com"


@pytest.fixture
def root_log():
    """All that reaches the root's handlers, at level DEBUG. pytest's own fixture would also listen to loggers that don't pass on."""
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def test_why_a_message_was_not_taken_is_told_without_secrets_and_so_are_logs(hook, monkeypatch, root_log):
    monkeypatch.setattr(module, "SEND_SECONDS", 0.3)
    hook.status = 500
    with pytest.raises(AlertError, match="json-1: the receiver answers 500"):
        send(f"json://{hook.host}/{SECRET}")
    hook.status, hook.seconds = 200, 1.0
    with pytest.raises(AlertError, match="json-1: the receiver does not answer"):
        send(f"json://{hook.host}/{SECRET}")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(AlertError, match="json-1: the receiver does not answer"):
            send(f"json://127.0.0.1:{closed.getsockname()[1]}/{SECRET}")
    for wrong in (f"slack://{SECRET}", f"nosuch://{SECRET}"):
        with pytest.raises(AlertError, match="apprise can't read this URL") as raised:
            send(wrong)
        assert SECRET not in str(raised.value)
    assert SECRET not in root_log.getvalue()
    assert SECRET not in repr(channels_of(f"json://{SECRET}"))


def test_a_channel_that_fails_in_its_own_way_holds_up_no_other_and_its_text_is_not_repeated(hook):
    broken, sound = channels_of(f"json://x/{SECRET} json://{hook.host}/x")
    object.__setattr__(broken, "url", None)
    names = [c.wishes.name for c in (broken, sound)]
    outcomes = send_all([broken, sound], dict.fromkeys(names, MESSAGE))
    assert [(o.channel, o.error is None) for o in outcomes] == [("json-1", False), ("json-2", True)]


def test_entries_say_what_they_want_and_have_names_without_secrets():
    arn = "arn:aws:sns:eu-west-1:123456789012:alerts"
    found = channels_of(f"mailtos://u:{SECRET}@h digest,success=slack://{SECRET}/b/c incidents,digest=mailtos://h2?to=a,b {arn}")
    assert [c.wishes.name for c in found] == ["mailtos-1", "slack-1", "mailtos-2", "sns-1"]
    assert found[1].wishes.topics == {Topic.digest, Topic.success}
    assert found[3].wishes.topics == {Topic.incidents}
    names = ("https://hooks.slack.com/services/a/b/c", f"https://{SECRET}.example.com/x")
    assert [channels_of(url)[0].wishes.name for url in names] == ["slack-1", "https-1"]
    for wrong, says in ((f"ok://x {SECRET}", "entry 2 is neither"), (f"all=json://{SECRET}", "entry 1 asks for 'all'")):
        with pytest.raises(SettingsError, match=says) as raised:
            channels_of(wrong)
        assert SECRET not in str(raised.value)
