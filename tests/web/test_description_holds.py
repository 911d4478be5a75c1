"""The real service is asked for everything that its description allows, and for much that it forbids."""

import subprocess
import sys
from pathlib import Path

from tests.fakes.service import ServiceProcess
from tests.web.filled import DONE, fill

TOKEN = "0123456789abcdef0123456789abcdef"

# What was understood and refused: no such job, not in this state, no such part of a file, no picture.
CONFIG = f"""
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 404, 409, 412, 416, 422]

[[operations]]
include-path = "/readyz"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]
checks.positive_data_acceptance.expected-statuses = ["2xx", 503]

[[operations]]
include-path = "/api/v1/jobs/{{id}}/receipt"
parameters = {{ "path.id" = "{DONE}" }}
"""


def test_the_service_does_what_its_description_says_and_nothing_else(tmp_path):
    service = ServiceProcess(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "token").write_text(TOKEN)
    text = service.config.read_text()
    web = f'[web]\ntoken_file = "{tmp_path}/token"\nmax_upload_megabytes = 1'
    service.config.write_text(text.replace("[web]", web))
    fill(service.state, service.outbox)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    service.start()
    try:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", "schemathesis.toml"),
                *("run", f"{service.url}/api/v1/openapi.json"),
                *("--header", f"Authorization: Bearer {TOKEN}"),
                *("--checks", "all", "--seed", "1834", "--workers", "1", "--max-examples", "15"),
                # The stream of events never ends; tests/web/test_events.py listens to it.
                *("--exclude-path", "/api/v1/events"),
                *("--request-timeout", "10", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        service.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in service.log.read_text()
