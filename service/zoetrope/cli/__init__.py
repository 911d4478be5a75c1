"""The command line; nothing is imported before a command needs it, so that help comes at once."""


def main() -> None:
    """Run the command line."""
    from .group import cli

    cli()
