import pytest

from zoetrope.jobs.host_memory import read
from zoetrope.jobs.memory_budget import HostMemory

UNIT = "zoetrope-comfyui@0.service"
MEMINFO = "MemTotal:       32768 kB\nMemAvailable:   20000 kB\nHugePages_Total:       0\n"
SWAPS = (
    "Filename\tType\tSize\tUsed\tPriority\n"
    "/dev/nvme0n1p3 partition 8192 2048 -2\n/dev/zram0 partition 4096 0 100\n/swap file 1024 0 -3\n"
)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "proc/swaps").write_text(SWAPS)
    return tmp_path


def limit(root, group, text):
    folder = root / "sys/fs/cgroup" / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(text)


def test_compressed_memory_is_no_swap(root):
    assert read(UNIT, root) == HostMemory(
        total=32 << 20, disk_swap=9 << 20, available=20000 << 10, swap_free=7 << 20
    )


def test_what_the_engine_holds_is_what_no_other_program_can_have(root):
    """Pages of files are available anyway."""
    assert read(UNIT, root).held is None  # the first version of control groups
    groups = root / "sys/fs/cgroup"
    groups.mkdir(parents=True)
    (groups / "cgroup.controllers").write_text("cpu memory\n")
    assert read(UNIT, root).held == 0  # it does not run
    assert read("", root).held is None
    folder = groups / "system.slice/system-zoetrope.slice" / UNIT
    folder.mkdir(parents=True)
    for text, held in (
        ("anon 5000\nfile 70000\nkernel 9\nshmem 24\n", 5024),
        ("anon many\nshmem 1\n", None),
        ("rss 5000\n", None),
    ):
        (folder / "memory.stat").write_text(text)
        assert read(UNIT, root).held == held


def test_the_strictest_limit_over_the_unit_counts(root):
    slices = "system.slice/system-zoetrope.slice"
    limit(root, f"{slices}/{UNIT}", "max\n")
    assert read(UNIT, root).limit is None
    limit(root, slices, f"{9 << 20}\n")
    limit(root, "system.slice", f"{12 << 20}\n")
    assert read(UNIT, root).limit == 9 << 20
    limit(root, f"{slices}/{UNIT}", f"{8 << 20}\n")
    assert read(UNIT, root).limit == 8 << 20
    assert read("", root).limit is None


@pytest.mark.parametrize("content", [None, "", "MemTotal: many kB\n"])
def test_where_the_kernel_does_not_say_nothing_is_known(root, content):
    (root / "proc/swaps").unlink()
    assert read("", root).disk_swap == 0
    (root / "proc/meminfo").unlink()
    if content is not None:
        (root / "proc/meminfo").write_text(content)
    assert read("", root) is None
