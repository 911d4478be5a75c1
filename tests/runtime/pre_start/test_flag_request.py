"""Flags that the service asks for: what pre-start.sh takes of them, and what it does with a file that is not the service's."""

import json
import os

import flag_request
import flags
import pytest
from flag_request import Asked, Ignored
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.pre_start.conftest import SAGE, SDPA, kernel, outcome
from zoetrope.engine import flag_request as service
from zoetrope.settings import EngineSettings

PINNED = ("--disable-pinned-memory",)
NONE = ("--cache-none",)
# Lines as ComfyUI's own table has them.
TABLE = """
group.add_argument("--cache-ram", nargs='*', type=float, default=[], metavar="GB")
group.add_argument("--cache-lru", type=int, default=0)
group.add_argument("--cache-none", action="store_true")
group.add_argument("--listen", type=str, nargs="?", const="0.0.0.0")
group.add_argument("--disable-pinned-memory", action="store_true")
group.add_argument("--reserve-vram", type=float, default=None)
group.add_argument("--async-offload", nargs='?', const=2, type=int)
group.add_argument("--disable-async-offload", action="store_true")
group.add_argument("--preview-method", type=str)
group.add_argument("--use-sage-attention", action="store_true")
group.add_argument("--use-flash-attention", action="store_true")
group.add_argument("--use-pytorch-cross-attention", action="store_true")
"""


@pytest.fixture
def taken(tmp_path):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy/cli_args.py").write_text(TABLE)
    return flags.known(tmp_path)


def test_how_many_values_a_flag_takes_is_read_from_that_comfyui(taken):
    assert taken["--cache-none"] == (0, 0)
    assert taken["--cache-lru"] == (1, 1)
    assert taken["--async-offload"] == (0, 1)
    assert taken["--cache-ram"].least == 0
    assert taken["--cache-ram"].most > 1


def of(*asked, extra="", own="--reserve-vram 1.0 --cache-none", taken=None, kernels=()):
    words, choices = flags.launch(
        own.split(), [Asked(*each) for each in asked], extra.split(), taken=taken, kernels=kernels
    )
    return " ".join(words), [(each.state, each.why) for each in choices]


USED = ("used", "why")


@pytest.mark.parametrize(
    ("asked", "extra", "words", "states"),
    [
        # What is asked for stands in the place of ours.
        ([("budget", ("--cache-ram", "2", "2"), "why")], "", "--reserve-vram 1.0 --cache-ram 2 2", ["used"]),
        ([("fallback", PINNED, "why")], "", "--reserve-vram 1.0 --cache-none --disable-pinned-memory", ["used"]),
        # Operator, fallback, budget.
        ([("fallback", NONE, "why")], "--cache-lru 9", "--reserve-vram 1.0 --cache-lru 9", ["overruled"]),
        ([("fallback", NONE, "why")], "--cache-l=9", "--reserve-vram 1.0 --cache-l=9", ["overruled"]),
        (
            [
                ("fallback", NONE, "why"),
                ("fallback", ("--cache-lru", "5"), "why"),
                ("budget", ("--cache-ram", "2"), "why"),
            ],
            "",
            "--reserve-vram 1.0 --cache-none",
            ["used", "overruled", "overruled"],
        ),
        (
            [("fallback", ("--reserve-vram", "3"), "why"), ("budget", ("--reserve-vram", "2"), "why")],
            "",
            "--cache-none --reserve-vram 3",
            ["used", "overruled"],
        ),
        ([("budget", ("--disable-async-offload",), "why")], "--async-offload 2", "--reserve-vram 1.0 --cache-none --async-offload 2", ["overruled"]),
    ],
)  # fmt: skip
def test_the_operator_comes_first_then_fallback_and_budget(taken, asked, extra, words, states):
    found, choices = of(*asked, extra=extra, taken=taken)
    assert (found, [state for state, _ in choices]) == (words, states)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--listen", "0.0.0.0"), "none that the service may ask for"),
        (("--enable-cors-header",), "none that the service may ask for"),
        (("--base-directory", "/etc"), "none that the service may ask for"),
        (("x",), "none that the service may ask for"),
        (("--cache-lru=5",), "none that the service may ask for"),
        (("--cache-lru",), "its values"),
        (("--cache-lru", "0"), "its values"),
        (("--cache-lru", "5", "5"), "its values"),
        (("--cache-lru", "--listen"), "its values"),
        (("--cache-none", "--listen"), "its values"),
        (("--reserve-vram", "1e9"), "its values"),
        (("--reserve-vram", "1\n"), "its values"),
        (("--vram-headroom", "1"), "this ComfyUI does not know it"),
        (("--disable-pinned",), "none that the service may ask for"),
        (("--use-flash-attention",), "the self-test did not find this kernel correct"),
    ],
)
def test_what_its_own_table_or_that_version_does_not_allow_is_not_given(taken, words, why):
    found, ((state, told),) = of(("budget", words, "why"), taken=taken, kernels=["--use-sage-attention"])  # fmt: skip
    assert (found, state) == ("--reserve-vram 1.0 --cache-none", "rejected")
    assert why in told


def test_a_version_with_another_number_of_values_or_whose_flags_cannot_be_read_gets_none(taken):
    older = {**taken, "--cache-ram": flags.Arity(0, 1)}
    asked = ("budget", ("--cache-ram", "2", "2"), "why")
    for known, why in ((older, "another number of values"), (None, "cannot be read")):
        found, ((state, told),) = of(asked, taken=known)
        assert (found, state) == ("--reserve-vram 1.0 --cache-none", "rejected")
        assert why in told


def test_every_flag_that_may_be_asked_for_is_of_memory_or_speed():
    doors = ("listen", "port", "tls", "cors", "directory", "path", "url", "manager", "node", "log")
    assert not [name for name in flags.ASKABLE for door in doors if door in name]


def entry(**changes):
    return {"by": "fallback", "words": list(PINNED), "reason": "why", **changes}


GOOD = {"schema": 1, "asked": [entry()]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 9000,
        b"[]",
        b"{}",
        *(
            json.dumps(each).encode()
            for each in (
                {**GOOD, "more": 1},
                {**GOOD, "schema": 2},
                {**GOOD, "schema": True},
                {**GOOD, "asked": {}},
                {**GOOD, "asked": [entry()] * 17},
                {**GOOD, "asked": ["--cache-none"]},
                {**GOOD, "asked": [entry(by="operator")]},
                {**GOOD, "asked": [entry(by=[])]},
                {**GOOD, "asked": [entry(more=1)]},
                {**GOOD, "asked": [entry(words="--cache-none")]},
                {**GOOD, "asked": [entry(words=[])]},
                {**GOOD, "asked": [entry(words=["--cache-none", 1])]},
                {**GOOD, "asked": [entry(words=["--cache-none\n--listen"])]},
                {**GOOD, "asked": [entry(words=["a"] * 5)]},
                {**GOOD, "asked": [entry(reason="a\nReady to start")]},
                {**GOOD, "asked": [entry(reason="x" * 301)]},
                {**GOOD, "asked": [entry(reason="x" * 20_000)]},
            )
        ),
    ],
)
def test_a_file_that_the_service_cannot_have_written_is_ignored(tmp_path, content):
    file = tmp_path / "0.json"
    file.write_bytes(content)
    with pytest.raises(Ignored):
        flag_request.read(str(file), "")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "owner", "nobody", "writable", "names"])
def test_what_stands_in_its_place_is_ignored_and_nothing_is_waited_for(tmp_path, kind):
    file, owner = tmp_path / "0.json", ""
    real = tmp_path / "real.json"
    real.write_text(json.dumps(GOOD))
    real.chmod(0o644)
    if kind == "link":
        file.symlink_to(real)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "names":
        file.hardlink_to(real)
    else:
        real.rename(file)
    if kind == "owner":
        owner = str(os.getuid() + 1)
    elif kind == "nobody":
        owner = "no-such-user"
    elif kind == "writable":
        file.chmod(0o666)
    with pytest.raises(Ignored):
        flag_request.read(str(file), owner)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["schema", "asked", "by", "words", "reason"]), inner), max_leaves=9).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_it_holds_it_is_read_or_ignored(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("any") / "0.json"
    file.write_bytes(content)
    try:
        found = flag_request.read(str(file), "")
    except Ignored:
        return
    assert all(each.by in flag_request.SOURCES for each in found)


def test_what_the_service_writes_is_what_pre_start_reads(tmp_path):
    file = tmp_path / "run/0.json"
    file.parent.mkdir()
    requests = service.FlagRequests(
        [EngineSettings(name="gpu-0", flag_request=file)], tmp_path / "state"
    )
    assert flag_request.read(str(file), "") == []
    reason = service.line("job 1a2b, stage i2v:\n  out of\tmemory " + "x" * 999)
    requests.ask("gpu-0", service.Asked(by="budget", words=("--cache-ram", "2", "2")))
    requests.ask("gpu-0", service.Asked(by="fallback", words=PINNED, reason=reason))
    assert flag_request.read(str(file), "") == [
        ("fallback", PINNED, reason),
        ("budget", ("--cache-ram", "2", "2"), ""),
    ]
    assert (service.SCHEMA, service.MOST_BYTES, service.MOST_REASON) == (
        flag_request.SCHEMA,
        flag_request.MOST_BYTES,
        flag_request.MOST_REASON,
    )


@pytest.fixture
def asking(host):
    """A host whose service asks for flags."""
    table = host.folder / "comfyui/comfy/cli_args.py"
    table.parent.mkdir()
    table.write_text(TABLE)
    file = host.folder / "0.json"
    host.env["ZOETROPE_FLAG_REQUEST"] = str(file)

    def ask(*asked):
        file.write_text(json.dumps({"schema": 1, "asked": [entry(**each) for each in asked]}))
        file.chmod(0o644)
        return file

    return ask


def test_pre_start_gives_what_is_asked_for_and_publishes_what_became_of_it(host, asking):
    asking({}, {"by": "budget", "words": ["--cache-lru", "5"]}, {"words": ["--listen"]})
    done = host.start(MEMORY="16", EXTRA_ARGS="--cache-ram 2 2")
    assert done.returncode == 0
    assert host.args == (
        "--reserve-vram 1.0 --use-sage-attention --preview-method none --disable-pinned-memory"
        " --cache-ram 2 2"
    )
    assert [(each["by"], each["words"][0], each["state"]) for each in host.report["choices"]] == [
        ("fallback", "--disable-pinned-memory", "used"),
        ("fallback", "--listen", "rejected"),
        ("budget", "--cache-lru", "overruled"),
    ]
    (warning,) = host.report["warnings"]
    assert "--listen, which the service asked for, is not given" in warning["sentence"]
    assert "overruled  --cache-lru 5 (budget): the operator's own --cache-ram 2 2" in done.stdout


def test_a_kernel_is_given_only_if_the_self_test_found_it_correct(host, asking):
    broken = kernel("flash_attn", "--use-flash-attention", reason="it is wrong")
    host.answers(outcome(kernels=[SDPA, SAGE, broken]))
    for flag, chosen in (
        ("--use-pytorch-cross-attention", "sdpa"),
        ("--use-flash-attention", "sageattn"),
    ):
        asking({"by": "budget", "words": [flag]})
        assert host.start().returncode == 0
        assert host.report["chosen"] == chosen
        assert host.args.count("-attention") == 1


def test_a_forged_file_does_not_keep_comfyui_from_starting_and_is_named(host, asking):
    file = asking({})
    for owner in ("", str(os.getuid() + 1)):
        assert host.start(FLAG_OWNER=owner).returncode == 0
        assert ("--disable-pinned-memory" in host.args) == (owner == "")
    (warning,) = host.report["warnings"]
    assert warning["key"] == "flag-request"
    assert str(file) in warning["sentence"]
    assert "belongs to the user" in warning["sentence"]


def test_without_a_file_nothing_is_asked_for(host, asking):
    assert host.start().returncode == 0
    assert (host.report["choices"], host.report["warnings"]) == ([], [])


@pytest.mark.parametrize(
    ("text", "version"),
    [('# made by a tool\n__version__ = "0.33.0"\n', "0.33.0"), ("version = 3", ""), (None, "")],
)
def test_the_version_of_comfyui_is_published(host, text, version):
    if text is not None:
        (host.folder / "comfyui/comfyui_version.py").write_text(text)
    assert host.start().returncode == 0
    assert host.report["comfyui"] == version
