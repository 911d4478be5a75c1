"""docs/simulated-engine.md names the faults that there are, and no others."""

import re
from pathlib import Path
from typing import get_args

from zoetrope.engine.simulated.faults import FaultKind

PAGE = Path(__file__).parents[1] / "docs" / "simulated-engine.md"


def test_every_fault_is_on_the_page_and_nothing_else():
    table = PAGE.read_text().partition("| kind |")[2]
    named = [
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(named) == sorted(get_args(FaultKind))
