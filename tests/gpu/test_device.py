"""The real bindings over simulated cards: structs, return codes, gaps and errors."""

import os
import subprocess
from pathlib import Path

import pynvml
import pytest

from tests.fakes.nvml.simulated import MODELS, uid
from zoetrope.gpu.card import Span, decode_reasons
from zoetrope.gpu.device import Nvml, open_nvml, process_name
from zoetrope.gpu.faults import CODES, GpuError, GpuLost, NoGpu, NotTaken, explain
from zoetrope.gpu.knobs import Knobs

pytestmark = pytest.mark.system("gcc")


def the_card(nvml):
    (card,) = nvml.cards()
    return card


def test_a_5090_tells_what_it_is_and_what_it_may_be_set_to(here):
    here("RTX 5090")
    card = the_card(Nvml())
    assert (card.uuid, card.short, card.architecture) == (uid(0), "RTX 5090", "Blackwell")
    assert (card.power, card.power_default) == (Span(400, 600), 575)
    assert card.core == Span(180, 3090)
    assert [state.number for state in card.pstates] == [0, 8]
    assert card.offset == Span(-1000, 1000)
    assert card.persistence is True
    assert card.driver == "580.95.05"
    assert card.bus == "00000000:01:00.0"


@pytest.mark.parametrize("model", MODELS)
def test_every_card_is_read(here, model):
    simulated = here(model)
    nvml = Nvml()
    card = the_card(nvml)
    rest = nvml.read(card.uuid)
    assert rest.reasons == ("idle",)
    simulated.set(load=1.0, vram_used=5e9)
    work = nvml.read(card.uuid)
    assert work.power_watts > rest.power_watts
    assert work.core_mhz > rest.core_mhz
    assert work.celsius > rest.celsius
    assert work.vram_used == 5_000_000_000
    assert work.vram_total == MODELS[model]["vram"]
    assert work.utilisation == 100
    assert work.energy_mj >= rest.energy_mj
    assert (work.offset_mhz is None) == (model == "H100")


def test_who_uses_a_card_is_named_as_far_as_it_may_be_seen(here, tmp_path):
    simulated = here()
    nvml = Nvml()
    assert nvml.users(uid(0)) == ()
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        simulated.set(user_pid=sleeper.pid, user_vram=7e9)
        # A process has no words yet at the very moment in which it begins.
        while not process_name(sleeper.pid, Path("/proc")):
            assert sleeper.poll() is None
        (user,) = nvml.users(uid(0))
        sleeper.kill()
    assert (user.pid, user.name, user.vram) == (sleeper.pid, "sleep", 7_000_000_000)
    assert process_name(1, tmp_path) == ""


def test_an_old_driver_has_no_offsets_and_says_so(here):
    here("RTX 3090", driver="535.183.01", old=True)
    nvml = Nvml()
    card = the_card(nvml)
    assert card.offset is None
    assert nvml.read(card.uuid).offset_mhz is None
    with pytest.raises(GpuError, match="too old") as error:
        Knobs(nvml).shift_core(card, 100)
    assert error.value.reason.key == "gpu-driver-old"


def test_a_card_without_an_energy_counter_has_a_gap_there(here):
    simulated = here()
    simulated.set(has_energy=0)
    assert Nvml().read(uid(0)).energy_mj is None


def test_no_library_is_a_host_without_cards(monkeypatch):
    def missing(_):
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", missing)
    assert open_nvml() is None


@pytest.mark.parametrize(("code", "kind"), [(9, NoGpu), (18, GpuError), (999, GpuError)])
def test_a_library_that_does_not_open_says_why(here, code, kind):
    simulated = here()
    simulated.set(None, init_error=code)
    with pytest.raises(kind) as error:
        Nvml()
    assert error.value.reason.next_step


def test_a_card_that_falls_off_the_bus_is_lost(here):
    simulated = here("RTX 5090", "RTX 3090")
    nvml = Nvml()
    assert len(nvml.cards()) == 2
    simulated.set(0, lost=1)
    with pytest.raises(GpuLost, match="fallen off the bus"):
        nvml.read(uid(0))
    assert [card.uuid for card in nvml.cards()] == [uid(1)]


def test_an_unknown_uuid_is_not_found(here):
    here()
    with pytest.raises(GpuError) as error:
        Nvml().read("GPU-00000000-0000-0000-0000-000000000000")
    assert error.value.reason.key == "gpu-not-found"


def test_setters_set_what_they_say(here):
    simulated = here()
    nvml = Nvml()
    card, knobs = the_card(nvml), Knobs(nvml)
    knobs.limit_power(card, 450)
    knobs.lock_core(card, 180, 2700)
    knobs.shift_core(card, 300)
    assert simulated.tuning() == (2700, 300, 450)
    knobs.shift_core(card, 0)
    knobs.free_core(card)
    assert simulated.tuning() == (0, 0, 450)


@pytest.mark.parametrize(("wanted", "snapped"), [(2707, 2700), (2713, 2700), (2715, 2715)])
def test_a_value_that_snaps_to_a_step_was_taken(here, wanted, snapped):
    simulated = here()
    nvml = Nvml()
    Knobs(nvml).lock_core(the_card(nvml), 180, wanted)
    Knobs(nvml).shift_core(the_card(nvml), 307)
    assert simulated.tuning()[:2] == (snapped, 300)


@pytest.mark.parametrize(
    ("lie", "knob", "value"),
    [(4, "limit_power", (450,)), (2, "shift_core", (300,)), (1, "lock_core", (180, 1500))],
)
def test_a_setter_that_lies_is_found_out(here, lie, knob, value):
    simulated = here()
    simulated.set(lies=lie, load=1.0)
    nvml = Nvml()
    with pytest.raises(NotTaken, match="accepted"):
        getattr(Knobs(nvml, pause=lambda _: None), knob)(the_card(nvml), *value)


def test_a_refused_offset_is_an_error_although_the_bindings_call_it_success(here):
    here()
    nvml = Nvml()
    with pytest.raises(GpuError) as error:
        Knobs(nvml).shift_core(the_card(nvml), 5000)
    assert error.value.reason.key == "gpu-refused"


def test_a_knob_that_a_card_does_not_have_is_named(here):
    simulated = here("H100")
    simulated.set(has_lock=0)
    nvml = Nvml()
    with pytest.raises(GpuError) as error:
        Knobs(nvml).lock_core(the_card(nvml), 345, 1500)
    assert error.value.reason.key == "gpu-unsupported"


def test_setters_without_root_say_who_may(here):
    simulated = here(anyone=0)
    nvml = Nvml()
    card = the_card(nvml)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(GpuError) as error:
            Knobs(nvml).limit_power(card, 450)
    finally:
        if me == 0:
            os.seteuid(0)
    assert error.value.reason.key == "gpu-permission"
    assert "zoetrope-gpu.socket" in error.value.reason.next_step
    assert simulated.tuning() == (0, 0, 575)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_one_sentence_with_what_to_do(code):
    reason = explain(code, "It cannot be done").reason
    assert reason.sentence.endswith(".")
    assert reason.next_step or code == 28


def test_faults_of_the_driver_are_heard(here):
    simulated = here("RTX 5090", "RTX 3090")
    xids = Nvml().xid_listener()
    assert xids.wait(1) is None
    simulated.xid(79, card=1)
    simulated.xid(13, card=0)
    heard = {xids.wait(100), xids.wait(100)}
    assert {(xid.uuid, xid.number) for xid in heard} == {(uid(1), 79), (uid(0), 13)}
    xids.close()


def test_reasons_are_decoded_and_an_unknown_bit_is_shown():
    assert decode_reasons(0) == ()
    assert decode_reasons(0x24) == ("power limit", "heat (software)")
    assert decode_reasons(0x1001) == ("idle", "unknown (0x1000)")
