"""The session of a process, whoever else of that process uses it."""

import pytest

from lakehouse_assets.engine.session import Engine


@pytest.mark.worlds("sail-folder", "spark-folder")
def test_a_session_that_another_engine_has_stopped_is_opened_again(world):
    mine, other = (Engine(world.settings().engine_config) for _ in range(2))
    assert mine.session().range(3).count() == 3
    other.session()
    other.stop_session()
    assert mine.session().range(3).selectExpr("max(id)").collect()[0][0] == 2
    mine.stop_session()
