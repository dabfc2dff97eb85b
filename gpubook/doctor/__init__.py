"""The doctor: from a symptom to its cause to the command that fixes it.

`rules.toml` is what it knows; `diagnose` looks for that in a log (`plain` and `prefilter` make the
search quick and indifferent to form); `facts` reads this machine, `checks`, `gpu`, `specs` and
`inside` judge it in the words of `findings.toml`, `probe` runs them, `report` says it. The book and
the command may import it.
"""

from gpubook.doctor.diagnose import diagnose
from gpubook.doctor.probe import probe
from gpubook.doctor.rules import load

__all__ = ["diagnose", "load", "probe"]
