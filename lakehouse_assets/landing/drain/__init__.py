"""Drains Kafka topics into landing: each record once, whoever drains, and wherever a drain is killed.

names.py     an object's name and head: from which position on, and up to where
positions.py where to go on, read from landing
records.py   a record as a line; what can't be a row
packed.py    lines into an object
broker.py    Kafka as the drain needs it: the topic, its ends, a consumer
drain.py     the loop
"""
