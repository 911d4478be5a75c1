import resource
import subprocess
import sys

import pytest

from zoetrope.open_files import ENOUGH, wanted

INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, 4096, 4096),
        (1024, 524_288, ENOUGH),
        (1024, INFINITY, ENOUGH),
        (256, 256, 256),
        (100_000, 524_288, 100_000),  # whoever gave more meant it
        (INFINITY, INFINITY, INFINITY),
    ],
)
def test_the_limit_is_raised_as_far_as_is_of_use(soft, hard, expected):
    assert wanted(soft, hard) == expected


def test_the_limit_of_the_process_is_raised():
    code = (
        "import resource\n"
        "from zoetrope.open_files import raise_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 900))\n"
        "print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "900 (900, 900)"
