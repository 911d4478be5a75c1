"""The tags of a video, in which ComfyUI's save nodes leave the whole graph, prompts and all."""

from __future__ import annotations

from pathlib import Path

import av

from ..durable import sync

# VHS writes it into the comment.
GRAPH_TAGS = {"prompt", "workflow", "comment"}


def strip(video: Path) -> None:
    """Take graph and prompt out of a video's tags; the streams are copied as they are."""
    clean = video.with_name(f".{video.stem}.clean{video.suffix}")
    with av.open(str(video)) as source:
        if not {tag.lower() for tag in source.metadata} & GRAPH_TAGS:
            return
        with av.open(str(clean), "w") as target:
            copies = {
                stream.index: target.add_stream_from_template(stream)
                for stream in source.streams
                if stream.type in ("video", "audio")
            }
            for packet in source.demux():
                if packet.dts is not None and packet.stream.index in copies:
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
    sync(clean)
    clean.replace(video)
