"""What can go wrong inside the simulated engine, named as the real engine names it."""

OUT_OF_MEMORY_TIPS = (
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before "
    "you might have accidentally set the batch_size to a large number."
)


class NodeFailure(Exception):
    """A node raised; `type_name` is the exception's full name as a client of ComfyUI sees it."""

    type_name = "RuntimeError"
    tips = ""


class OutOfMemory(NodeFailure):
    """The GPU's memory is exhausted."""

    type_name = "torch.OutOfMemoryError"
    tips = OUT_OF_MEMORY_TIPS

    def __init__(self) -> None:
        super().__init__("Allocation on device 0 would exceed allowed memory. (out of memory)")


class HostOutOfMemory(NodeFailure):
    """The host's own memory is exhausted, which ComfyUI does not tell from any other error."""

    def __init__(self) -> None:
        super().__init__(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. "
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 21474836480 bytes."
            " Error code 12 (Cannot allocate memory)"
        )


class MissingModel(NodeFailure):
    """A node's own model file is not there and cannot be downloaded."""


class CudaFault(NodeFailure):
    """The CUDA context is lost; every later use of the GPU fails until the process restarts."""

    type_name = "torch.AcceleratorError"

    def __init__(self) -> None:
        super().__init__("CUDA error: an illegal memory access was encountered")


class NotSimulated(NodeFailure):
    """The node exists in the real engine, and the simulated engine cannot play it."""

    type_name = "NotImplementedError"


class BadFile(NodeFailure):
    """A picture cannot be decoded."""

    type_name = "PIL.UnidentifiedImageError"


class OutsideOutput(NodeFailure):
    """A save node was asked to write outside the output folder."""

    type_name = "Exception"


class InterruptedPrompt(Exception):
    """Someone asked for the running prompt to stop."""


class EngineDied(BaseException):
    """The process ends here; nothing may catch this but the worker's outermost frame."""
