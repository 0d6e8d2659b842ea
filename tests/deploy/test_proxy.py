"""The proxy that lets others in: a real Caddy with `deploy/Caddyfile`, before a server of this test."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from lakehouse_assets.engine.server import port_answers
from lakehouse_assets.services.service import free_port

CADDYFILE = Path(__file__).parents[2] / "deploy" / "Caddyfile"
PASSWORD = "a password of this test"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a page")

    def log_message(self, *_: object) -> None:
        """Keep silent."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of the two pages."""
    caddy = shutil.which("caddy")
    assert caddy, "Install Caddy: `apt-get install caddy`."
    hashed = subprocess.run([caddy, "hash-password", "--plaintext", PASSWORD], capture_output=True, text=True, check=True)
    home = tmp_path_factory.mktemp("caddy")
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{pages.server_port}"
        ports = (free_port(0), free_port(0))
        environment = {
            **os.environ,
            "PROXY_BIND": "127.0.0.1",
            "PROXY_VIEWER_AT": str(ports[0]),
            "PROXY_DASHBOARD_AT": str(ports[1]),
            "HOME": str(home),
            "XDG_DATA_HOME": str(home),
            "PROXY_USER": "viewer",
            "PROXY_PASSWORD_HASH": hashed.stdout.strip(),
            "PROXY_VIEWER": address,
            "PROXY_DASHBOARD": address,
        }
        command = [caddy, "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
        with (home / "log").open("w") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
            try:
                deadline = time.monotonic() + 60
                while not all(map(port_answers, ports)):
                    assert process.poll() is None, (home / "log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                yield ports
            finally:
                process.terminate()
                pages.shutdown()


@pytest.mark.parametrize("page", [0, 1])
def test_a_page_wants_a_name_and_a_password(proxy, page):
    address = f"https://localhost:{proxy[page]}/"
    with httpx.Client(verify=False, trust_env=False) as client:
        assert client.get(address).status_code == 401
        assert client.get(address, auth=("viewer", "another")).status_code == 401
        assert client.get(address, auth=("somebody", PASSWORD)).status_code == 401
        answer = client.get(address, auth=("viewer", PASSWORD))
        assert (answer.status_code, answer.text) == (200, "a page")


def test_without_a_password_it_does_not_start(tmp_path):
    environment = {**os.environ, "PROXY_USER": "viewer", "PROXY_PASSWORD_HASH": "", "HOME": str(tmp_path)}
    command = ["caddy", "validate", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    assert subprocess.run(command, env=environment, capture_output=True).returncode != 0
