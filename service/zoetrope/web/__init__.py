"""The page, the API and the event stream: what a person or a program can ask the running service."""
