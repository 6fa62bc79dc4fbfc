"""``validate``: do the scores predict the damage?"""

import argparse
import functools
from typing import TYPE_CHECKING

from bert_mpq.settings import flags
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    """Measure, print the verdict and the command that repeats it.

    Raises:
        MpqError: any of its codes.
    """
    from bert_mpq.runs.make_plan import plan_validation
    from bert_mpq.ui.views import panels as views
    from bert_mpq.ui.views.validation import validation_views

    plan = plan_validation(flags.config_from(namespace, flags.defaults_of("validate")))
    execution.start(plan, ask=False)
    with execution.running(plan) as reporter:
        from bert_mpq.runs import validate

        validation = validate.run(plan, reporter, execution.session)
    result = validation.result
    execution.show(validation_views(result), [validation.file], result.seconds)
    views.print_repeat(plan.repeat, execution.output)


VALIDATE = Command(
    name="validate",
    help="do the scores predict the damage? KL of the logits, one unit quantized at a time",
    add_flags=functools.partial(flags.add_flags, subcommand="validate"),
    run=_run,
)
