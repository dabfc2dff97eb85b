"""A GPU with a clock that is known, for timing code."""


class FakeGpu:
    """A GPU as timing sees it: work is queued, and done when somebody waits.

    ``durations`` are the seconds of the product's runs in order, the last one repeated; a flush
    takes ``flush_seconds``. ``log`` keeps what was queued and when it was waited for.
    """

    def __init__(self, durations, flush_seconds=0.5):
        self.durations, self.flush_seconds = list(durations), flush_seconds
        self.now, self.log, self.runs = 0.0, [], 0

    def run(self):
        self.now += self.durations[min(self.runs, len(self.durations) - 1)]
        self.runs += 1
        self.log.append("run")

    def flush(self):
        self.now += self.flush_seconds
        self.log.append("flush")

    def synchronize(self):
        self.log.append("synchronize")

    def Event(self, *, enable_timing):
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    def __init__(self, gpu):
        self.gpu, self.at, self.place = gpu, None, None

    def record(self):
        self.at, self.place = self.gpu.now, len(self.gpu.log)
        self.gpu.log.append("record")

    def elapsed_time(self, other):
        assert "synchronize" in self.gpu.log[other.place :], "read before the work was over"
        return (other.at - self.at) * 1e3  # CUDA events tell milliseconds
