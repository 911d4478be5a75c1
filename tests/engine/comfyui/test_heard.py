"""What the socket said of a prompt is remembered for the case that its history is lost."""

from zoetrope.domain.values import Failure
from zoetrope.engine.comfyui.events import Executed, Over
from zoetrope.engine.comfyui.socket import Heard
from zoetrope.engine.protocol import (
    Absent,
    Finished,
    Interrupted,
    Output,
    PromptFailed,
    Started,
)

CLIP = Output(node="9", filename="a.mp4")
LATER = Output(node="9", filename="b.mp4")
WHOLE = Output(node="12", filename="whole.mkv")


def heard(*said):
    found = Heard()
    for one in said:
        found.note(one)
    return found.ending()


def test_a_prompt_that_ended_well_has_made_what_was_saved():
    said = [Started(), Executed((CLIP,)), Executed((WHOLE,)), Over(well=True), Over()]
    assert heard(*said) == Finished((CLIP, WHOLE))


def test_a_node_that_saves_again_counts_once():
    assert heard(Executed((CLIP,)), Executed((LATER,))) == Absent((LATER,))


def test_without_a_word_on_its_end_nothing_is_claimed_of_it():
    assert heard(Executed((CLIP,)), Over()) == Absent((CLIP,))
    assert heard() == Absent()


def test_an_end_that_was_not_well_stays_one():
    failed = PromptFailed(Failure(kind="oom", message="Allocation on device"))
    assert heard(Executed((CLIP,)), Over(failed), Over()) == failed
    assert heard(Over(Interrupted()), Over()) == Interrupted()
