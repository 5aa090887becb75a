"""JSONata: the evaluator is ministack's (jsonata-python), only its patience is ours."""

import jsonata
from ministack.services import stepfunctions as sfn

from cauce_emulator.patching import original, replaces

PATIENCE_MS = 60_000


class _Compiler:
    """Compiles with our patience, whatever is asked for."""

    def jsonata(self, expression, timeout=PATIENCE_MS):
        return jsonata.Jsonata.jsonata(expression, timeout=max(timeout, PATIENCE_MS))


class _Patient:
    """The module jsonata, with that compiler."""

    Jsonata = _Compiler()

    def __getattr__(self, name):
        return getattr(jsonata, name)


@replaces("services.stepfunctions", "_evaluate_jsonata", "d970811e01da0897",
          """Gives an expression one second by the clock on the wall, which on a busy machine fails states at random. AWS's
          limit is of work, which a slower evaluator cannot measure.""",
          "https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html")
def evaluate_jsonata(expression, raw_input, ctx=None, result=None, error_output=None):
    sfn.jsonata = _PATIENT
    return original("services.stepfunctions._evaluate_jsonata")(expression, raw_input, ctx, result, error_output)


_PATIENT = _Patient()
