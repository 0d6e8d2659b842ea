"""MinIO (or versitygw), Kafka and PostgreSQL as plain processes of this machine: for trying out and for tests, without Docker.

service.py    what a service is: a program that runs in the background, found again by its process id
programs.py   where programs come from: the machine, else Go or PyPI
store.py, kafka.py, postgres.py   one service each: how it is set up, started and asked for its health
stack.py      all of them together: up, down, status, env
"""
