"""What a seat tells the teacher's board (docker/jupyterhub/board.py). Without a Hub: nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import urllib.request
from collections.abc import Mapping

SECONDS = 5.0
"""A board that does not answer keeps nobody waiting longer."""


def report(page: str, checks: Mapping[int, bool] | None = None) -> threading.Thread | None:
    """Say which page is open, or which of its exercises are right. Never fails, never waits."""
    address, token = os.environ.get("GPUBOOK_BOARD"), os.environ.get("JUPYTERHUB_API_TOKEN")
    if not (address and token):
        return None
    body = {"page": page} | ({"checks": {str(n): r for n, r in checks.items()}} if checks else {})
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Authorization": f"token {token}"}
    )
    thread = threading.Thread(target=_send, args=(request,))
    thread.start()
    return thread


def _send(request: urllib.request.Request) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, http.client.HTTPException):
        direct.open(request, timeout=SECONDS).close()
