"""Engines: the seam that the conductor speaks through, and what stands behind it."""
