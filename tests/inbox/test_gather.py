import pytest

from zoetrope.inbox.entry import classify
from zoetrope.inbox.gather import DEFAULTS_WAIT, Drop, Gathering, Wait

GRACE = 2.0


def gathering(*names):
    found = Gathering(GRACE)
    for name in names:
        found.add(classify(name))
    return found


def decide(found, name, *, now=100.0, ready=True, arrived=0.0):
    states = ready if isinstance(ready, dict) else {}
    return found.decide(classify(name), arrived, now, lambda path: states.get(path, True))


def names(drop):
    assert isinstance(drop, Drop)
    return [e.path for e in drop.pictures], [e.path for e in drop.tickets]


def test_a_picture_with_its_ticket_goes_at_once():
    drop = decide(gathering("cat.png", "cat.toml"), "cat.png", now=0.1)
    assert names(drop) == (["cat.png"], ["cat.toml"])


def test_a_picture_without_a_ticket_waits_for_the_grace():
    found = gathering("cat.png")
    assert decide(found, "cat.png", now=0.1) == Wait(GRACE)
    assert names(decide(found, "cat.png", now=GRACE)) == (["cat.png"], [])


@pytest.mark.parametrize("other", ["cat.toml", "ticket.toml"])
def test_a_picture_waits_for_a_ticket_or_defaults_that_are_still_written(other):
    found = gathering("cat.png", other)
    assert isinstance(decide(found, "cat.png", ready={other: False}), Wait)


def test_a_folder_s_ticket_that_never_stands_still_keeps_no_picture_for_ever():
    """Everybody may write it: one member who touches it all the time must not stop the others."""
    found = gathering("cat.png", "ticket.toml")
    moving = {"ticket.toml": False}
    for now in (100.0, 130.0, 100.0 + DEFAULTS_WAIT - 1):
        assert isinstance(decide(found, "cat.png", now=now, ready=moving), Wait)
    drop = decide(found, "cat.png", now=100.0 + DEFAULTS_WAIT, ready=moving)
    assert names(drop) == (["cat.png"], [])
    # The next picture of that name waits anew.
    found.remove(classify("cat.png"))
    found.add(classify("cat.png"))
    assert isinstance(decide(found, "cat.png", now=300.0, ready=moving), Wait)


def test_toml_comes_before_text():
    drop = decide(gathering("cat.txt", "cat.png", "cat.toml"), "cat.png")
    assert names(drop) == (["cat.png"], ["cat.toml", "cat.txt"])


def test_two_halves_go_together_the_start_first():
    found = gathering("cat.end.png", "cat.start.jpg", "cat.toml")
    for half in ("cat.end.png", "cat.start.jpg"):
        drop = decide(found, half, now=0.1)
        assert names(drop) == (["cat.start.jpg", "cat.end.png"], ["cat.toml"])


def test_a_half_waits_for_a_half_that_is_still_written():
    found = gathering("cat.end.png", "cat.start.png")
    assert isinstance(decide(found, "cat.start.png", ready={"cat.end.png": False}), Wait)


def test_a_lone_half_goes_alone_after_the_grace_even_with_a_ticket():
    found = gathering("cat.start.png", "cat.toml")
    assert decide(found, "cat.start.png", now=0.1) == Wait(GRACE)
    assert names(decide(found, "cat.start.png")) == (["cat.start.png"], ["cat.toml"])


def test_two_pictures_of_one_stem_share_the_ticket():
    found = gathering("cat.png", "cat.jpg", "cat.toml")
    first = decide(found, "cat.png")
    assert names(first) == (["cat.png"], ["cat.toml"])
    assert first.shared
    found.remove(classify("cat.png"))
    assert not decide(found, "cat.jpg").shared


def test_folders_keep_apart_what_has_the_same_name():
    found = gathering("a/cat.png", "b/cat.toml")
    assert names(decide(found, "a/cat.png")) == (["a/cat.png"], [])


def test_a_picture_in_a_deep_folder_waits_for_nothing():
    assert names(decide(gathering("a/b/cat.png"), "a/b/cat.png", now=0.0))[0] == ["a/b/cat.png"]
