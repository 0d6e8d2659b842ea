"""Ticks of a sensor, as the daemon makes them: each goes on where the last one ended."""

from collections.abc import Callable

import dagster as dg


def ticks_of(sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> Callable[[], int]:
    """Return a function that makes a tick and returns the number of its run requests."""
    cursor: str | None = None

    def tick() -> int:
        nonlocal cursor
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            result = sensor.evaluate_tick(context)
        cursor = result.cursor
        return len(result.run_requests or [])

    return tick
