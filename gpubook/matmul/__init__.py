"""Matrix products timed right: which unit ran, how near the ceiling, and how timing misleads.

- ``kinds``: the number formats, what a product of each costs, and the error it may have
- ``timing``: warm-up, events, one synchronise, quantiles
- ``unit``: CUDA cores or Tensor Cores, decided from the kernel that a profile saw
- ``peaks``: the ceilings by the vendor, with sources; ``roofline``: the ceilings measured here
- ``products``: one call that does all of this for one product; ``bench`` and ``cli`` use it
- ``show`` and ``plots``: tables and figures

Importing this package is cheap: torch is imported by the functions that compute. Training, the
doctor and the book may import it.
"""
