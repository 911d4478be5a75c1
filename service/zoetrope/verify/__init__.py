"""Verification: a finished video is measured, and a doubtful one is a failed stage, never a success."""
