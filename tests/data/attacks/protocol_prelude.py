"""Runs before each attempt of protocol.json, in the same step: what it takes to speak for the worker on its socket."""

import json
import os
import sys
import time

SOCKET = 3


def framed(body):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return len(body).to_bytes(4, "big") + body


def send(body):
    data = framed(body)
    while data:
        data = data[os.write(SOCKET, data) :]


def id_of_this_run():
    frame = sys._getframe()
    while "request" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["request"]["id"]


def burn(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


ID = id_of_this_run()
ANSWER = {"id": ID, "output": "FORGED", "error": None, "seconds": 0.0, "memory": 0, "doubtful": False, "worn": False}
