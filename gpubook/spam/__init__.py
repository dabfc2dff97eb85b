"""SMS spam: the data, the small BERT, training, evaluation and prediction.

- ``assets`` fetches, ``data`` reads and splits, ``batches`` cuts messages into tensors
- ``model`` is the network; ``steps`` is one step of it, ``processor`` what that costs on a CPU
- ``train`` is the whole training, ``checkpoint`` keeps it; ``distributed`` divides it among
  processes, ``scaling`` measures what they gain
- ``metrics`` scores; ``trainer`` is the way of 2023 and a tuned one; ``bench`` compares them with
  ours
- ``predict`` labels messages; ``cli`` has the commands; ``plots`` draws for the pages

``import gpubook.spam`` stays cheap: torch and transformers load only where they are used. The book
and the command may import it.
"""

import os

# Read when torch loads OpenMP, so set before. By default its threads wait for each other in a
# busy loop; beside any other work on the same cores, that made training two to four times
# slower (measured on 2 cores). Sleeping instead costs microseconds on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
