"""The watch over the GPUs, when the host is in trouble."""

import errno

import pytest

from zoetrope.gpu.faults import explain
from zoetrope.gpu.watch import Watch
from zoetrope.host import NO_THREAD


def spent():
    raise OSError(errno.EMFILE, "Too many open files", "pynvml.py")


def no_thread():
    raise RuntimeError(NO_THREAD)


@pytest.mark.parametrize(("begins", "key"), [(spent, "files-spent"), (no_thread, "memory-spent")])
async def test_a_host_that_has_nothing_left_to_look_with_is_looked_at_again(begins, key, caplog):
    def make():
        if made:
            raise explain(12, "It")  # no GPU
        made.append(1)
        begins()

    made = []
    watch = Watch(make)
    await watch.look()
    assert watch.problem.key == key
    assert len(caplog.records) == 1
    await watch.look()
    assert watch.problem is None


async def test_a_fault_of_our_own_is_none_of_the_host():
    def make():
        raise RuntimeError("surprise")

    with pytest.raises(RuntimeError, match="surprise"):
        await Watch(make).look()
