"""SMS spam: the data, the small BERT, training, evaluation and prediction.

``import gpubook.spam`` stays cheap: torch and transformers load only where they are used.
"""
