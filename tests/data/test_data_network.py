"""A network that drops packets costs seconds."""

import socket
import sys
import time

import pytest
from data_world import leftovers, write_command

from replicate.data import DataUnavailable, download, load


@pytest.fixture
def silent():
    """Address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_probe_is_bounded_over_all_addresses(silent):
    start = time.monotonic()
    with pytest.raises(DataUnavailable, match="no answer within 0.5 s.*no answer within 0.5 s"):
        download.probe([silent + "a", silent + "b"], seconds=0.5)
    assert time.monotonic() - start < 1.5


def test_probe_bounds_a_name_lookup_that_hangs(monkeypatch):
    def hang(*_, **__):
        time.sleep(3)
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    with pytest.raises(DataUnavailable, match="no answer within 0.5 s"):
        download.probe(["http://example.invalid/"], seconds=0.5)
    assert time.monotonic() - start < 1.5


def test_probe_names_only_the_address_that_fails(silent):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Refuses(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)  # an answer is an answer

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        good = f"http://127.0.0.1:{server.server_port}/"
        download.probe([good])
        with pytest.raises(DataUnavailable) as error:
            download.probe([good, silent], seconds=0.5)
        server.shutdown()
    assert str(error.value) == f"{silent}: no answer within 0.5 s"


def test_load_behind_a_firewall_costs_seconds(world, silent, monkeypatch):
    world.change(download_urls=(silent,))
    monkeypatch.setattr(download.probe, "__defaults__", (0.5,))
    monkeypatch.setattr(download, "VIEW_SECONDS", 1.0)
    write_command(world.bin, "npm", "exec sleep 60")
    start = time.monotonic()
    with pytest.raises(DataUnavailable) as error:
        load("shapes")
    assert time.monotonic() - start < 5
    assert "no answer within 0.5 s" in str(error.value)
    assert "npm view shapes-data@1.0.0 was ended after 1 s" in str(error.value)
    assert leftovers(world.cache) == []


def test_download_that_stalls_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "STALL_SECONDS", 1.0)
    script = "import time; open('part', 'w').write('x'); time.sleep(60)"
    start = time.monotonic()
    with pytest.raises(DataUnavailable, match="a fetch was ended: nothing arrived for 1 s"):
        download.run_watched("a fetch", [sys.executable, "-c", script], tmp_path, 50, growing=True)
    assert time.monotonic() - start < 6


def test_failed_command_gives_its_own_reason(tmp_path):
    script = "echo start; echo 'E: Unable to locate package x' >&2; echo done; exit 100"
    with pytest.raises(DataUnavailable, match="a fetch failed: E: Unable to locate package x"):
        download.run_watched("a fetch", ["sh", "-c", script], tmp_path, 10)


def test_https_download_has_a_bound_on_the_whole(world, monkeypatch):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Trickles(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(300):
                    self.wfile.write(b"x" * 1024)
                    time.sleep(0.1)
            except OSError:
                pass  # the client has gone

        def log_message(self, *_):
            pass

    monkeypatch.setattr(download, "TOTAL_SECONDS", 1.0)
    with HTTPServer(("127.0.0.1", 0), Trickles) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("PATH", str(world.root / "nothing"))
        start = time.monotonic()
        with pytest.raises(DataUnavailable, match="not complete after 1 s"):
            load("shapes", routes=["registry"])
        assert time.monotonic() - start < 5
        server.shutdown()
    assert leftovers(world.cache) == []
