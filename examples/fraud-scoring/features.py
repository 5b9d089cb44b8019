#!/usr/bin/env python3
"""The features of the fraud-scoring pipeline as a plain batch computation.

An independent second definition of what the plugins feature-enrichment, terminal-activity and
feature-vector compute as a stream; `--check` compares the two. Windows are tiles in event time, UTC,
and include the row in hand: 1 day is the current hour and the 23 before it, 7 and 30 days are the
current day and the 6 or 29 before it. Rows must be in time order.

    features.py TRANSACTIONS                  rows with their features as JSON lines, for train.py
    features.py TRANSACTIONS --check OUTPUT   compares with what the pipeline wrote
"""

import argparse
import gzip
import json
import math
import sys

HOUR, DAY = 3_600_000, 86_400_000

# Name, whether its logarithm is taken, and the mean and scale that standardise it, in the order of
# the vector.
VECTOR = [
    ("current_amount", True, 3.6, 1.0),
    ("last_amount", True, 3.6, 1.0),
    ("amount_ratio", True, 0.85, 0.7),
    ("count_1d", True, 1.2, 0.5),
    ("mean_1d", True, 3.7, 0.8),
    ("count_7d", True, 2.4, 0.7),
    ("mean_7d", True, 3.8, 0.7),
    ("count_30d", True, 3.2, 1.0),
    ("mean_30d", True, 3.8, 0.7),
    ("terminal_count_1d", True, 0.9, 0.4),
    ("terminal_mean_1d", True, 3.7, 0.8),
    ("terminal_large_share_1d", False, 0.05, 0.2),
    ("terminal_count_7d", True, 1.9, 0.6),
    ("terminal_mean_7d", True, 3.8, 0.6),
    ("terminal_large_share_7d", False, 0.05, 0.1),
]
NAMES = [name for name, _, _, _ in VECTOR]
# Farthest that a standardised feature may lie from its mean, in scales.
LIMIT = 10.0
# An amount is unusually large when it is more than FACTOR times the mean of the rows before it in the
# window, provided that there are at least HISTORY of them.
FACTOR, HISTORY = 3.0, 5


class Tiles:
    """Count, sum and number of large amounts in the last `n` tiles of `width` milliseconds."""

    __slots__ = ("tiles", "newest", "n", "width")

    def __init__(self, n, width):
        self.tiles, self.newest, self.n, self.width = {}, None, n, width

    def advance(self, time):
        tile = time // self.width
        self.newest = tile if self.newest is None else max(self.newest, tile)
        for old in [t for t in self.tiles if t <= self.newest - self.n]:
            del self.tiles[old]

    def add(self, time, amount, large=0):
        self.advance(time)
        tile = time // self.width
        if tile > self.newest - self.n:
            count, total, larges = self.tiles.get(tile, (0, 0.0, 0))
            self.tiles[tile] = (count + 1, total + amount, larges + large)

    def last(self, n=None):
        """Count, mean and share of large amounts over the last `n` tiles, all by default."""
        count, total, larges = 0, 0.0, 0
        for tile, (c, t, l) in self.tiles.items():
            if n is None or tile > self.newest - n:
                count, total, larges = count + c, total + t, larges + l
        return (count, total / count, larges / count) if count else (0, 0.0, 0.0)


def features(rows, factor=FACTOR, history=HISTORY):
    """Yields the features of each row, named, not standardised."""
    users, terminals = {}, {}
    for row in rows:
        time, amount = row["timestamp"], row["amount"]
        user = users.setdefault(row["user_id"], [None, Tiles(24, HOUR), Tiles(30, DAY)])
        last, day, month = user
        user[0] = amount
        day.add(time, amount)
        month.add(time, amount)
        of_day, of_week, of_month = day.last(), month.last(7), month.last()

        here = terminals.setdefault(row["terminal_id"], (Tiles(24, HOUR), Tiles(7, DAY)))
        here[1].advance(time)
        count, mean, _ = here[1].last()
        large = int(count >= max(history, 1) and amount > factor * mean)
        for tiles in here:
            tiles.add(time, amount, large)
        terminal_day, terminal_week = here[0].last(), here[1].last()
        yield {
            "current_amount": amount,
            "last_amount": last if last is not None else 0.0,
            "amount_ratio": amount / last if last else 1.0,
            "count_1d": of_day[0],
            "mean_1d": of_day[1],
            "count_7d": of_week[0],
            "mean_7d": of_week[1],
            "count_30d": of_month[0],
            "mean_30d": of_month[1],
            "terminal_count_1d": terminal_day[0],
            "terminal_mean_1d": terminal_day[1],
            "terminal_large_share_1d": terminal_day[2],
            "terminal_count_7d": terminal_week[0],
            "terminal_mean_7d": terminal_week[1],
            "terminal_large_share_7d": terminal_week[2],
        }


def vector(named):
    """The standardised vector of one row's features."""
    values = []
    for name, log, mean, scale in VECTOR:
        value = named[name]
        if log:
            value = math.copysign(math.log1p(abs(value)), value)
        values.append(min(max((value - mean) / scale, -LIMIT), LIMIT))
    return values


def read(path):
    """Rows of a file of JSON lines, gzip or not."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def check(transactions, output):
    """Compares with the pipeline's output; returns the number of rows that differ."""
    want = {row["transaction_id"]: vector(named) for row, named in both(transactions)}
    rows = differ = 0
    for row in read(output):
        rows += 1
        vector_of_row = want.get(row["transaction_id"])
        if vector_of_row is None:
            problem = "it is not in the input"
        else:
            # The pipeline sums in another order and keeps f32.
            off = [n for n, a, b in zip(NAMES, vector_of_row, row["features"]) if abs(a - b) > 1e-4]
            problem = f"{', '.join(off)} differ" if off or len(row["features"]) != len(NAMES) else None
        if problem:
            differ += 1
            if differ <= 10:
                print(f"transaction {row['transaction_id']}: {problem}", file=sys.stderr)
    print(f"{rows} rows compared, {differ} differ")
    return differ if rows else 1


def both(path):
    rows = list(read(path))
    return zip(rows, features(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transactions", help="JSON lines as `millstream generate transactions` writes them, or .gz")
    parser.add_argument("--check", metavar="OUTPUT", help="what the pipeline wrote, with its `features` column")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(1 if check(arguments.transactions, arguments.check) else 0)
    for row, named in both(arguments.transactions):
        row["features"] = [round(value, 6) for value in vector(named)]
        print(json.dumps(row, separators=(",", ":")))


if __name__ == "__main__":
    main()
