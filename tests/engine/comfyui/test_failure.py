"""What is behind an error of ComfyUI's."""

import pytest

from zoetrope.engine.comfyui.failure import failure

# A disk that takes nothing is said in the words of whoever wrote to it.
DISKS = [
    ("OSError", "[Errno 28] No space left on device: '/o/clip.mp4'", "engine-disk-full"),
    ("OSError", "[Errno 122] Disk quota exceeded", "engine-disk-full"),
    ("OSError", "[Errno 30] Read-only file system: '/o/x.png'", "engine-read-only"),
    ("OSError", "[WinError 112] There is not enough space on the disk", "engine-disk-full"),
    ("av.error.OSError", "[Errno 28] No space left on device: 'x'", "engine-disk-full"),
    (
        "Exception",
        "An error occurred in the ffmpeg subprocess:\nav_write(): No space left on device",
        "engine-disk-full",
    ),
    (
        "RuntimeError",
        "[enforce fail at inline_container.cc:595] . unexpected pos 64 vs 0",
        "engine-disk-full",
    ),
    (
        "RuntimeError",
        "PytorchStreamWriter failed writing file data/0: file write failed",
        "engine-disk-full",
    ),
    (
        "safetensors._safetensors_rust.SafetensorError",
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "engine-disk-full",
    ),
    (
        "safetensors._safetensors_rust.SafetensorError",
        "Error while serializing: I/O error: Read-only file system (os error 30)",
        "engine-read-only",
    ),
    ("sqlite3.OperationalError", "database or disk is full", "engine-disk-full"),
]


def told_apart(exception, text, kind):
    found = failure(
        {
            "node_id": "3",
            "node_type": "X",
            "exception_type": exception,
            "exception_message": text + "\n",
        }
    )
    assert found.kind == kind
    assert found.message


@pytest.mark.parametrize(
    ("exception", "text", "kind"),
    [
        ("torch.OutOfMemoryError", "Allocation on device", "oom"),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried", "oom"),
        ("RuntimeError", "CUDA out of memory. Tried to allocate", "oom"),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't",
            "host-oom",
        ),
        ("MemoryError", "\n", "host-oom"),
        ("OSError", "[Errno 12] Cannot allocate memory", "host-oom"),
        ("RuntimeError", "HostBuffer.read_file_slice failed", "pinned-memory"),
        ("RuntimeError", "hostbuf_file_reader_read failed", "pinned-memory"),
        ("RuntimeError", "CUDA error: out of memory (cudaHostRegister)", "pinned-memory"),
        ("torch.OutOfMemoryError", "CUDA out of memory in cudaHostAlloc", "pinned-memory"),
        ("torch.AcceleratorError", "CUDA error: an illegal memory access", "cuda"),
        ("RuntimeError", "CUDA error: unspecified launch failure", "cuda"),
        ("safetensors._safetensors_rust.SafetensorError", "header too small", "model"),
        ("RuntimeError", "ERROR: Could not detect model type of: /m/x", "model"),
        ("RuntimeError", "Failed to download required model files. DiT model: x", "model"),
        ("Exception", "Tried all urls to download rife47.pth but no success", "model"),
        ("ModuleNotFoundError", "No module named 'sageattention'", "package"),
        ("FileNotFoundError", "[Errno 2] No such file", "file"),
        *(
            (kind, f"[Errno 2] No such file or directory: '/srv/comfy/input/{name}'", found)
            for kind in ("FileNotFoundError", "av.error.FileNotFoundError")
            for name, found in (
                ("zoetrope/86016700bbaf8e443aba1fa7.png", "upload-lost"),
                ("zoetrope/86016700bbaf8e443aba1fa7 (1).png", "upload-lost"),
                ("zoetrope/cat.png", "file"),
                ("86016700bbaf8e443aba1fa7.png", "file"),
            )
        ),
        ("ValueError", "odd", "node"),
        ("RuntimeError", "PytorchStreamReader failed reading zip archive", "node"),
        ("OSError", "[Errno 281] odd", "node"),
    ],
)
def test_errors_are_told_apart(exception, text, kind):
    told_apart(exception, text, kind)


@pytest.mark.parametrize(("exception", "text", "kind"), DISKS)
def test_a_disk_of_the_engine_that_takes_nothing_is_recognised(exception, text, kind):
    told_apart(exception, text, kind)


ODD = (None, [], {}, True, 3, 2.5, float("nan"), "\ud800", "\0", 10**5000)


@pytest.mark.parametrize("number", range(len(ODD)))
def test_an_error_that_lacks_what_comfyui_says_is_a_failure_all_the_same(number):
    keys = ("node_id", "node_type", "exception_type", "exception_message")
    odd = ODD[number]
    for data in ({}, *({key: odd} for key in keys), dict.fromkeys(keys, odd)):
        found = failure(data)
        assert found.kind == "node"
        assert found.message
        assert found.message.isprintable()
