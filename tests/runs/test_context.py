"""What a worker tells the executor."""

import json
import sys
import threading
import time

from replicate.runs.context import Context


class SlowStream:
    """A stream that lets other threads run between two writes."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        time.sleep(0.001)

    def flush(self):
        pass


def test_events_of_threads_are_whole_lines(monkeypatch):
    stream = SlowStream()
    monkeypatch.setattr(sys, "stdout", stream)
    threads = [
        threading.Thread(target=lambda i=i: [Context.event("progress", lane=i) for _ in range(20)])
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [json.loads(line) for line in stream.text.splitlines()]
    assert sorted(event["lane"] for event in events) == sorted(list(range(4)) * 20)
