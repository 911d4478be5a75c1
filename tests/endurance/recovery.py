"""A start after kill -9 with a long queue."""

from __future__ import annotations

import ssl
import time

from tests.endurance.part import Part
from tests.fakes.long_queue import queued_service

QUEUED = 10_000
LIMIT = 2.0  # seconds


def recovery(part: Part) -> None:
    """Fill a ledger, kill the service that works with it, and time the next start."""
    service, _ = queued_service(part.root / "world", QUEUED)
    times: list[float] = []
    # As outside of tests, it reads the system's certificates.
    system = ssl.get_default_verify_paths()
    environ = {"SSL_CERT_FILE": system.openssl_cafile, "SSL_CERT_DIR": system.openssl_capath}
    service.start(**environ)
    try:
        while len(times) < 3 or part.left():
            service.get("/api/v1/jobs?limit=1")
            service.kill()
            begun = time.perf_counter()
            service.start(**environ)
            told = service.get("/api/v1/jobs?limit=1")
            times.append(time.perf_counter() - begun)
            part.promise(told["jobs"][0]["state"] == "queued", "the queue is another one now")
            part.counts["starts with 10,000 queued"] += 1
            part.tick()
    finally:
        code = service.stop()
    part.promise(code == 0, f"the service ended with {code}")
    part.promise("Traceback" not in service.log.read_text(), f"a traceback in {service.log}")
    left = sum(1 for _ in (service.state / "work").iterdir())
    part.promise(left == QUEUED, f"{QUEUED - left} work folders are gone")
    # The best: whatever else the machine does only adds to it.
    part.measure("recovery with 10,000 queued", min(times), "s", limit=LIMIT)
