"""zoetrope: a picture dropped in the inbox becomes exactly one checked video in the outbox."""

__version__ = "0.1.0"
