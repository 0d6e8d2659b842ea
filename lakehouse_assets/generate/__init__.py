"""Generated data for all source systems: one world, told by each system in its own shape, and what must come out of the lakehouse.

    options ──► world ──► systems/<system>.py ──► deliveries ──► <folder>/<system>/<entity>/<date>/<file>
                                     │
                                     └──► truth ──► <folder>/truth.json

Nothing here knows the lakehouse's own code: the truth is worked out from what was made up, never from what a pipeline computes.
"""
