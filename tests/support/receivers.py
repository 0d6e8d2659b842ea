"""Receivers of alerts on this machine: an HTTP server, a mail server, and Amazon's SNS as moto has it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from aiosmtpd.controller import Controller
from moto.server import ThreadedMotoServer

from lakehouse_assets.services.service import free_port


class WebHook(ThreadingHTTPServer):
    """Takes what is posted. `status` is what it answers, after `seconds`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posted: list[tuple[str, Any]] = []
        self.status, self.seconds = 200, 0.0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def texts(self) -> list[str]:
        """The texts of the messages that it has taken, as JSON's own receivers have them."""
        return [body["message"] for _, body in self.posted]


class _Handler(BaseHTTPRequestHandler):
    server: WebHook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.seconds)
        if self.server.status < 400:
            self.server.posted.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def web_hook() -> Iterator[WebHook]:
    hook = WebHook()
    threading.Thread(target=hook.serve_forever, args=(0.01,), daemon=True).start()
    yield hook
    hook.shutdown()
    hook.server_close()


class _Mailbox:
    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the server's own name
        self.mails.append(BytesParser(EmailMessage, policy=default).parsebytes(envelope.content))  # type: ignore[arg-type]
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[tuple[str, list[EmailMessage]]]:
    """A mail server: its address, and the mails that it has taken."""
    mailbox = _Mailbox()
    port = free_port(0)
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"127.0.0.1:{port}", mailbox.mails
    controller.stop()


@contextmanager
def sns() -> Iterator[tuple[str, str, Any]]:
    """SNS: its endpoint, the ARN of a topic, and a function that returns the messages sent to it."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    access = {"region_name": "eu-west-1", "endpoint_url": endpoint, "aws_access_key_id": "k", "aws_secret_access_key": "s"}
    queues = boto3.client("sqs", **access)
    topics = boto3.client("sns", **access)
    arn = topics.create_topic(Name="alerts")["TopicArn"]
    queue = queues.create_queue(QueueName="alerts")["QueueUrl"]
    own = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topics.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=own)

    def received() -> list[dict[str, Any]]:
        messages = queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]

    yield endpoint, arn, received
    server.stop()
