"""Why the engine hands an operation to the plain executor.

NotCompiledError        when it is compiled: it selects what a plan cannot say; its plan is not tried again
PlanBrokenError         when it runs: what was read or given breaks a rule that the plan was made by
└── UnfitError          something stored does not fit its declaration; the engine may answer less exactly instead
"""

from __future__ import annotations


class NotCompiledError(Exception):
    """The operation has something that is not compiled; the text says what."""


class PlanBrokenError(Exception):
    """This run met something that the plan cannot answer; the text says what."""


class UnfitError(PlanBrokenError):
    """Something stored does not fit its declaration; the text says what."""
