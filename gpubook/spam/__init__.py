"""SMS spam: the data, the small BERT, training, evaluation and prediction.

``import gpubook.spam`` stays cheap: torch and transformers load only where they are used.
"""

import os

# Read when torch loads OpenMP, so set before. By default its threads wait for each other in a
# busy loop; beside any other work on the same cores, that made training two to four times
# slower (measured on 2 cores). Sleeping instead costs microseconds on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
