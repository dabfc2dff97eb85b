"""The doctor: from a symptom to its cause to the command that mends it.

`rules.toml` is what it knows; `diagnose` finds that in a log, `probe` looks at this machine,
`report` says it. `plain` and `prefilter` make the search quick and indifferent to form.
"""

from gpubook.doctor.diagnose import Diagnosis, Problem, diagnose
from gpubook.doctor.finding import Finding
from gpubook.doctor.probe import probe
from gpubook.doctor.rules import Rule, RuleError, load

__all__ = [
    "Diagnosis",
    "Finding",
    "Problem",
    "Rule",
    "RuleError",
    "diagnose",
    "load",
    "probe",
]
