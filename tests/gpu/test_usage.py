"""What a stage took of its card, added up from readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.domain.usage import Usage
from zoetrope.gpu.card import Sample
from zoetrope.gpu.report import ReportVideo, lines, tabulate
from zoetrope.gpu.usage import UsageMeter


def reading(taken, **values):
    return Sample(uuid="GPU-1", taken=float(taken), **values)


def measure(*readings, profile="baseline"):
    meter = UsageMeter("GPU-1", "RTX 5090")
    for each in readings:
        meter.add(each, profile)
    return meter.usage()


def test_energy_is_the_cards_own_counter_where_it_has_one():
    usage = measure(reading(0, energy_mj=7_200_000), reading(10, energy_mj=10_800_000))
    assert usage.energy_wh == pytest.approx(1.0)
    assert usage.seconds == 10


@pytest.mark.parametrize("counter", [(None, None), (500, 3)])
def test_energy_is_added_up_where_there_is_no_counter_or_it_began_anew(counter):
    first, last = counter
    usage = measure(
        reading(0, power_watts=360.0, energy_mj=first),
        reading(10, power_watts=360.0, energy_mj=last),
    )
    assert usage.energy_wh == pytest.approx(1.0)


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.floats(20, 600)), min_size=2, max_size=30).map(
        lambda steps: [(sum(s for s, _ in steps[: i + 1]), w) for i, (_, w) in enumerate(steps)]
    )
)
def test_a_mean_lies_between_the_lowest_and_the_highest(points):
    usage = measure(*(reading(t, power_watts=w) for t, w in points))
    watts = [w for _, w in points]
    assert min(watts) - 0.1 <= usage.mean_watts <= max(watts) + 0.1
    assert usage.energy_wh * 3600 == pytest.approx(
        usage.mean_watts * usage.seconds, rel=0.02, abs=1
    )


def test_heat_memory_and_what_slowed_it_are_kept():
    usage = measure(
        reading(0, celsius=60, vram_used=5, core_mhz=2700, reasons=("idle",)),
        reading(1, celsius=80, vram_used=9, core_mhz=2400, reasons=("power limit",)),
        reading(2, celsius=70, vram_used=7, core_mhz=2400, reasons=("power limit",)),
    )
    assert (usage.highest_celsius, usage.mean_celsius) == (80, 72.5)
    assert usage.peak_vram == 9
    assert usage.mean_core_mhz == 2475
    assert usage.slowed_by == ("power limit",)


def test_one_reading_is_no_measurement():
    assert measure(reading(0)) is None
    assert UsageMeter("GPU-1", "x").usage() is None


def test_the_moment_before_the_clocks_are_there_is_no_change_of_profile():
    meter = UsageMeter("GPU-1", "RTX 5090")
    for moment in range(101):
        meter.add(reading(moment), "" if moment < 3 else "baseline")
    assert meter.usage().profiles == ("baseline",)


def test_a_profile_that_changed_on_the_way_is_told():
    meter = UsageMeter("GPU-1", "RTX 5090")
    for moment in range(101):
        meter.add(reading(moment), "baseline" if moment < 50 else "")
    assert meter.usage().profile == "baseline + stock"


def video(profile, seconds, watt_hours, recipe="hero"):
    stages = [
        Usage(
            card="GPU-1", name="RTX 5090", profiles=(profile,), seconds=seconds / 2,
            energy_wh=None if watt_hours is None else watt_hours / 2, mean_watts=400.0,
        )
        for _ in range(2)
    ]  # fmt: skip
    return ReportVideo(recipe, tuple(stages))


def test_the_report_sets_each_profile_against_stock():
    rows = tabulate(
        [
            *[video("stock", seconds, 100) for seconds in (900, 1000, 1400)],
            *[video("baseline", 1120, 81)] * 2,
            video("stock", 10, 1, recipe="other"),
            ReportVideo("hero", ()),
        ]
    )
    told = {(row.recipe, row.profile): row for row in rows}
    assert told["hero", "stock"].seconds == 1000
    assert told["hero", "stock"].videos == 3
    assert told["hero", "baseline"].watt_hours == 81
    assert told["hero", "baseline"].against_stock == "-19 % energy, +12 % time"
    assert told["other", "stock"].against_stock == ""
    assert len(rows) == 3
    table = list(lines(rows))
    assert table[0].split()[:3] == ["RECIPE", "GPU", "PROFILE"]
    assert len({line.index("RTX") for line in table[1:]}) == 1


def test_a_video_without_an_energy_figure_is_compared_by_time_alone():
    rows = tabulate([video("stock", 1000, None), video("baseline", 1100, 81)])
    assert {row.against_stock for row in rows} == {"", "+10 % time"}
