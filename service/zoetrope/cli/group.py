"""The top of the command line: the list of commands, and how errors are shown."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from .options import Options, common_at_top

# The one-line helps stand here, so that listing the commands imports none of them.
SECTIONS: dict[str, dict[str, str]] = {
    "Make videos": {
        "submit": "Send pictures to the service.",
        "again": "Make another video of a job's picture.",
        "reproduce": "Make a video again from its receipt.",
        "approve": "Approve a job in review.",
        "decline": "Decline a job in review.",
        "retry": "Retry a failed or cancelled job.",
        "cancel": "Cancel a job.",
        "pause": "Start no further stage, for a while or until resumed.",
        "resume": "End a pause.",
        "recover": "Make jobs of work that the ledger has lost, or discard it.",
    },
    "Show state": {
        "status": "Show the service, its engines and its current jobs.",
        "jobs": "List jobs, newest first.",
        "job": "Show one job with all its attempts.",
        "recipes": "List recipes, or show one with its parameters.",
        "health": "Run every check, and show what to do next.",
    },
    "Check videos and workflows": {
        "verify": "Check a video as the service does.",
        "lint": "Find mistakes in workflows before they run.",
        "import": "Convert a workflow that ComfyUI's page saved into the API format.",
        "rules": "List the linter's rules, or explain one.",
        "catalog": "Record and compare node signatures.",
    },
    "Run and set up": {
        "serve": "Run the service.",
        "backup": "Write the ledger and the recipes of its jobs to a file.",
        "restore": "Put a backup in the place of the ledger.",
        "simulate": "Run the simulated engine, which needs no GPU.",
        "models": "List and download the model files that recipes need.",
        "engine": "Show or forget the launch flags of an engine.",
        "gpu": "Show the GPUs, and set their clocks.",
        "gpu-helper": "Run the root helper that sets clocks.",
        "demo": "Run the whole service on the simulated engine, with faults.",
    },
}
COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}
MODULES = {"approve": "decide", "decline": "decide", "retry": "decide", "cancel": "decide"}
MODULES |= {"job": "jobs", "resume": "pause", "restore": "backup", "import": "page_import"}
# Earlier names of commands, for scripts; no help lists them.
ALIASES = {"rehearse": "simulate"}

EPILOG = (
    "\b\nExamples:\n  zoetrope submit cat.png --sync\n  zoetrope status --watch\n  zoetrope health"
)


class Lazy(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List every command."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(
            f".{MODULES.get(cmd_name, cmd_name).replace('-', '_')}", __package__
        )
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or offer the nearest one."""
        if args and args[0] not in COMMANDS | ALIASES and not args[0].startswith("-"):
            # Only on this path, because difflib alone would take a tenth of the help's time.
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f"; did you mean `{close[0]}`?" if close else "."
            ctx.fail(f"There is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands in their sections, from the table alone."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and print every error as one line that says what to do."""
        options = Options()
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, obj=options, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, obj=options, **extra)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "zoetrope"
            _say(f"{path}: {error.format_message()} (see {path} --help)")
            sys.exit(2)
        except (click.Abort, KeyboardInterrupt):
            _say("zoetrope: stopped.")
            sys.exit(1)
        except BrokenPipeError:
            # The reader of a pipe, such as head, has seen enough.
            sys.stderr.close()
            sys.exit(1)
        except Exception as error:
            if options.debug:
                raise
            _say(_line(error))
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _line(error: Exception) -> str:
    from ..errors import ZoetropeError

    if isinstance(error, click.ClickException):
        return f"zoetrope: {error.format_message()}"
    if isinstance(error, ZoetropeError):
        return f"zoetrope: {error}"
    return f"zoetrope: {type(error).__name__}: {error} (--debug shows the traceback)"


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.group(cls=Lazy, name="zoetrope", epilog=EPILOG, context_settings={
    "help_option_names": ["-h", "--help"], "max_content_width": 100
})  # fmt: skip
@common_at_top
@click.version_option(package_name="zoetrope", message="zoetrope %(version)s")
def cli() -> None:
    """Make checked videos of pictures: the client of the zoetrope service, on this or another host.

    `zoetrope COMMAND --help` explains a command.
    """
