"""A spot notice of Amazon's reaches Ray; the metadata service and `ray` are test doubles."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vibesweep.cluster import spot_notice

TOKEN = "a token"
NOTICE = '{"action": "terminate", "time": "2026-11-30T12:00:00Z"}'
ASKED_BEFORE = 2
"""How often there is no notice yet."""


class Service(BaseHTTPRequestHandler):
    """Answers as the instance metadata service of version 2 does."""

    asked = 0

    def do_PUT(self) -> None:
        assert self.path == "/api/token"
        assert int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
        self._answer(200, TOKEN)

    def do_GET(self) -> None:
        assert self.path == "/meta-data/spot/instance-action"
        if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
            self._answer(401, "")
            return
        type(self).asked += 1
        has_notice = self.asked > ASKED_BEFORE
        self._answer(200 if has_notice else 404, NOTICE if has_notice else "")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


@contextmanager
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_notice_has_ray_drain_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command))
    monkeypatch.setattr(spot_notice, "LOOK_S", 0.0)
    with service() as address:
        monkeypatch.setattr(spot_notice, "METADATA", address)
        spot_notice.main()
    assert Service.asked == ASKED_BEFORE + 1
    (command,) = ran
    assert command[:3] == ["ray", "drain-node", "--reason=DRAIN_NODE_REASON_PREEMPTION"]
    assert not any("deadline" in part for part in command), "it would be told by a wrong clock"


def test_where_nobody_answers_there_is_no_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    with service() as address:
        pass
    monkeypatch.setattr(spot_notice, "METADATA", address)
    assert not spot_notice.host_goes()
