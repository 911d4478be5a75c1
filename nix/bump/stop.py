"""What ends a bump before anything is written."""


class Stopped(Exception):
    """A step failed; nothing is written."""
