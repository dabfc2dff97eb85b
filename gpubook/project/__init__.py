"""The learner's own project: a model, containerised and timed. Its checklist, verified.

``gpubook project FOLDER`` reads a folder and reports each item of the checklist as met, missing
or not checked; with a Docker Engine it builds the image and runs it. The page of the book shows
the same list (:data:`gpubook.project.items.ITEMS`). The book and the command may import it.
"""
