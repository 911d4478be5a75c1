"""Self-tests under a profile, as engines' reports tell of them."""

import json
import os

from zoetrope.gpu.canary import Canary, Mismatch
from zoetrope.settings import EngineSettings


def write(file, at, **changes):
    kernel = {"name": "sageattn", "verdict": "refused", "reason": "cosine 0.1"}
    report = {"schema": 1, "profile": "bold", "mismatch": [kernel], **changes}
    file.write_text(json.dumps(report))
    os.utime(file, (at, at))


def test_a_mismatch_is_told_once_for_each_start_of_an_engine(tmp_path):
    file = tmp_path / "0.json"
    canary = Canary((EngineSettings(name="gpu-0", report=file), EngineSettings(name="x")), since=10)
    assert list(canary.look()) == []
    write(file, 11)
    (found,) = canary.look()
    assert found == Mismatch("gpu-0", "bold", found.sentence)
    assert "sageattn: cosine 0.1" in found.sentence
    assert list(canary.look()) == []
    write(file, 12)
    assert len(list(canary.look())) == 1


def test_a_report_from_before_the_service_is_not_told_again(tmp_path):
    file = tmp_path / "0.json"
    write(file, 9)
    assert list(Canary((EngineSettings(name="gpu-0", report=file),), since=10).look()) == []


def test_a_report_without_mismatch_or_profile_or_sense_tells_nothing(tmp_path):
    file = tmp_path / "0.json"
    canary = Canary((EngineSettings(name="gpu-0", report=file),), since=0)
    write(file, 1, mismatch=[])
    assert list(canary.look()) == []
    write(file, 2, profile="")
    assert list(canary.look()) == []
    file.write_text("{")
    assert list(canary.look()) == []
