"""The library behind *GPU + Container*: probing, evidence, measuring, training, the book itself."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gpubook")
except PackageNotFoundError:  # imported from a checkout that was never installed
    __version__ = "0+unknown"
