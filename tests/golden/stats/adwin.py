#!/usr/bin/python3
"""ADWIN as its authors wrote it (Bifet and Gavaldà 2007; MOA's ADWIN.java), with plain lists: the oracle of
tests/unit/core/stats/detect_test.c. river 0.21 steps over the last bucket of each row when it looks for a cut
(`range(bucket.current_idx - 1)`), so that its windows do not add up and it finds changes later."""
import math


def lcg(seed):
    while True:
        seed = (1664525 * seed + 1013904223) % 2**32
        yield seed / 2**32


class Adwin:
    def __init__(self, delta=0.002, per_row=5, every=32):
        self.delta, self.per_row, self.every, self.seen = delta, per_row, every, 0
        self.buckets = []  # oldest first: [size, sum, n * variance]

    def whole(self):
        n, total, var = 0, 0.0, 0.0
        for size, s, v in self.buckets:
            if n:
                var += n * size / (n + size) * (total / n - s / size) ** 2
            var += v
            n, total = n + size, total + s
        return n, total, var

    def compress(self):
        size = 1
        while True:
            same = [i for i, b in enumerate(self.buckets) if b[0] == size]
            if len(same) <= self.per_row:
                return
            i, j = same[0], same[1]
            a, b = self.buckets[i], self.buckets[j]
            apart = a[1] / size - b[1] / size
            self.buckets[i:j + 1] = [[2 * size, a[1] + b[1], a[2] + b[2] + size / 2 * apart**2]]
            size *= 2

    def cut(self):
        n, total, var = self.whole()
        n0, s0 = 0, 0.0
        for size, s, _ in self.buckets:
            n0, s0 = n0 + size, s0 + s
            n1 = n - n0
            if n0 <= 5 or n1 <= 5:
                continue
            log = math.log(2 * math.log(n) / self.delta)
            m = 1 / (n0 - 4) + 1 / (n1 - 4)
            if abs(s0 / n0 - (total - s0) / n1) > math.sqrt(2 * m * var / n * log) + 2 / 3 * log * m:
                return True
        return False

    def add(self, x):
        self.buckets.append([1, x, 0.0])
        self.seen += 1
        self.compress()
        drift = False
        while self.seen % self.every == 0 and self.whole()[0] > 10 and self.cut():
            self.buckets.pop(0)
            drift = True
        return drift


def report(name, values):
    a = Adwin()
    print(name, [t for t, x in enumerate(values) if a.add(x)], *("%.17g" % x for x in a.whole()))


if __name__ == "__main__":
    g = lcg(42)
    report("rate", [1 if next(g) < (0.1 if t < 2000 else 0.25) else 0 for t in range(6000)])
    g = lcg(5)
    report("level", [next(g) + (0.8 if 3000 <= t < 5000 else 0) for t in range(8000)])
