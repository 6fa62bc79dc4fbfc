"""The subcommands of ``bert-mpq``, one module each: its flags and what it does."""

from bert_mpq.commands.command import Command
from bert_mpq.commands.compare import COMPARE
from bert_mpq.commands.completion import COMPLETION
from bert_mpq.commands.doctor import DOCTOR
from bert_mpq.commands.export import EXPORT
from bert_mpq.commands.phases import QUANTIZE, RUN, SENSITIVITY
from bert_mpq.commands.plan import PLAN
from bert_mpq.commands.sweep import SWEEP
from bert_mpq.commands.validate import VALIDATE

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
    COMPLETION,
)

__all__ = ["COMMANDS", "Command"]
