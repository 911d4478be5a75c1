"""Health: one file a check; each says what it found and what to do next."""
