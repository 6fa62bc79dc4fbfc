"""The subcommands of ``bert-mpq``, one module each: its flags and what it does."""

from bert_mpq.ui.commands.command import Command
from bert_mpq.ui.commands.compare import COMPARE
from bert_mpq.ui.commands.completion import COMPLETION
from bert_mpq.ui.commands.doctor import DOCTOR
from bert_mpq.ui.commands.export import EXPORT
from bert_mpq.ui.commands.help import HELP
from bert_mpq.ui.commands.phases import QUANTIZE, RUN, SENSITIVITY
from bert_mpq.ui.commands.plan import PLAN
from bert_mpq.ui.commands.sweep import SWEEP
from bert_mpq.ui.commands.validate import VALIDATE

COMMANDS: tuple[Command, ...] = (
    SENSITIVITY,
    QUANTIZE,
    RUN,
    PLAN,
    VALIDATE,
    SWEEP,
    COMPARE,
    EXPORT,
    DOCTOR,
    HELP,
    COMPLETION,
)

__all__ = ["COMMANDS", "Command"]
