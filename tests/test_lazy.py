"""A value that is worked out once for each object, and for no other object waits."""

import ast
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.test_layout import MODULES, PACKAGE
from zoetrope.lazy import lazy


class Asked:
    def __init__(self, work):
        self._work = work

    @lazy
    def answer(self):
        """What it is."""
        return self._work()


def test_it_is_worked_out_once_for_each_object():
    found = []
    one, other = Asked(lambda: found.append(1) or len(found)), Asked(lambda: "other")
    assert [one.answer, one.answer, other.answer, found] == [1, 1, "other", [1]]
    assert Asked.answer.__doc__ == "What it is."


def test_an_object_in_one_thread_does_not_wait_for_another_in_another():
    go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: Asked(lambda: go.wait(60)).answer)
        try:
            assert Asked(lambda: 2).answer == 2  # before the slow one has ended
            assert not slow.done()
        finally:
            go.set()
        assert slow.result(60)


def test_nothing_has_a_property_with_one_lock_for_all_objects():
    named = {
        str(module.relative_to(PACKAGE))
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if "cached_property"
        in (getattr(node, "attr", ""), getattr(node, "id", ""), getattr(node, "name", ""))
    }
    assert named == set()
