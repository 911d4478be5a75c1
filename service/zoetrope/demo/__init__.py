"""The demo: the whole service on the embedded engine, with two faults on the way, as a user sees it."""
