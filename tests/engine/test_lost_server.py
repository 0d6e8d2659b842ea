"""A Spark server that is killed: the step that meets it computes again with a new one, the others never notice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from lakehouse_assets.delta.data_files import DataFolder
from lakehouse_assets.engine.server import port_answers, read_state
from lakehouse_assets.engine.session import Engine, engine_was_lost
from lakehouse_assets.services.service import free_port
from tests.support.orders import DAY1, DAY2, DAY3, ORDERS, csv


class Failed(grpc.RpcError, grpc.Call):
    """An error of a call, as gRPC raises it."""

    def __init__(self, code, details=""):
        self._code, self._details = code, details

    def code(self):
        return self._code

    def __str__(self):
        return self._details


Failed.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (Failed(grpc.StatusCode.UNAVAILABLE), True),
        (Failed(grpc.StatusCode.UNAUTHENTICATED), True),
        (Failed(grpc.StatusCode.INTERNAL, "[INVALID_HANDLE.SESSION_CHANGED] The existing session has changed"), True),
        (Failed(grpc.StatusCode.INTERNAL, "[DIVIDE_BY_ZERO]"), False),
        (ValueError("no"), False),
    ],
)
def test_which_errors_tell_of_a_lost_server(error, lost):
    assert engine_was_lost(error) is lost


@pytest.mark.worlds("spark-folder")
def test_a_server_killed_between_two_uses_and_in_the_middle_of_one_costs_no_table(make_lakehouse, world, monkeypatch):
    shop = make_lakehouse(ORDERS)
    shop.engine.stop_session()  # PySpark knows one session a process
    config = world.settings(lakehouse_engine_idle_seconds=61).local_spark  # a server that nobody else uses
    shop.engine = Engine(world.settings(lakehouse_engine_idle_seconds=61).engine_config)

    def kill():
        server = read_state(config.folder)
        os.kill(server.java_pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while port_answers(server.port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return server

    try:
        shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 1)))
        assert shop.build_by_dagster() == {}
        first = kill()
        shop.land("shop/orders", DAY2, "a.csv", csv(("B", 1, 1)))
        assert shop.build_by_dagster() == {}
        write, kills = DataFolder.write, [first.java_pid]

        def killed(*args):
            if len(kills) == 1:
                kills.append(kill().java_pid)
            return write(*args)

        monkeypatch.setattr(DataFolder, "write", killed)
        shop.land("shop/orders", DAY3, "a.csv", csv(("A", 2, 2)))
        assert shop.build_by_dagster() == {}
        assert len(set(kills)) == 2
        assert [(r["order_id"], r["total"]) for r in shop.rows("silver.shop_orders")] == [("A", 2), ("B", 1)]
        assert shop.plan().is_empty
    finally:
        shop.engine.stop_session()
        os.kill(read_state(config.folder).supervisor_pid, signal.SIGTERM)


class SailServer:
    """Sail as somebody else's server, at one address whoever serves there."""

    def __init__(self):
        self.port, self.deaths = free_port(0), 0
        self.process = self._start()

    def _start(self):
        command = [str(Path(sys.executable).with_name("sail")), "spark", "server", "--ip", "127.0.0.1", "--port", str(self.port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not port_answers(self.port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.deaths += 1

    def start_again(self):
        self.process = self._start()


@pytest.mark.worlds("sail-folder")
def test_a_server_that_is_started_again_at_its_address_costs_no_table(make_lakehouse, world, monkeypatch):
    shop = make_lakehouse(ORDERS)
    shop.engine.stop_session()  # PySpark knows one session a process
    server = SailServer()
    shop.engine = Engine(shop.settings.model_copy(update={"lakehouse_engine": f"sc://127.0.0.1:{server.port}"}).engine_config)
    try:
        shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 1)))
        assert shop.build_by_dagster() == {}
        server.kill()
        server.start_again()  # between two uses: the session is not there any more
        shop.land("shop/orders", DAY2, "a.csv", csv(("B", 1, 1)))
        assert shop.build_by_dagster() == {}
        write = DataFolder.write

        def killed(*args):
            if server.deaths > 1:
                return write(*args)
            server.kill()
            try:
                return write(*args)
            finally:
                server.start_again()

        monkeypatch.setattr(DataFolder, "write", killed)
        shop.land("shop/orders", DAY3, "a.csv", csv(("A", 2, 2)))
        assert shop.build_by_dagster() == {}
        assert server.deaths == 2
        assert [(r["order_id"], r["total"]) for r in shop.rows("silver.shop_orders")] == [("A", 2), ("B", 1)]
        assert shop.plan().is_empty
    finally:
        shop.engine.stop_session()
        server.kill()
