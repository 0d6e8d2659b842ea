"""MinIO (or versitygw), Kafka and PostgreSQL as plain processes on this machine: for trials and tests, without Docker.

service.py    the base class: a program that runs in the background, found again by its process id
programs.py   where programs come from: the machine, otherwise Go or PyPI
store.py, kafka.py, postgres.py   one service each: its set-up, command and health check
stack.py      all of them together: up, down, status, env
"""
