#!/usr/bin/env python3
"""Prints how well scores tell fraud from the rest: the area under the ROC curve.

    auc.py scores.jsonl [SHARE]

Rows need `score` and `fraud`. With SHARE (0 to 1) only the rows after that share of the file are
counted, for a model that was trained on the rows before.
"""

import json
import sys


def auc(rows):
    """The chance that a fraud scores above another row; ties count half."""
    rows.sort(key=lambda row: row[0])
    rank_sum, at = 0.0, 0
    while at < len(rows):
        end = at
        while end < len(rows) and rows[end][0] == rows[at][0]:
            end += 1
        frauds = sum(row[1] for row in rows[at:end])
        rank_sum += frauds * (at + end + 1) / 2
        at = end
    frauds = sum(row[1] for row in rows)
    others = len(rows) - frauds
    if not frauds or not others:
        sys.exit("the rows are all of one kind; there is no AUC")
    return (rank_sum - frauds * (frauds + 1) / 2) / (frauds * others)


def main():
    path = sys.argv[1]
    share = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    with open(path, encoding="utf-8") as lines:
        rows = []
        for line in lines:
            row = json.loads(line)
            rows.append((row["score"], row["fraud"], row["timestamp"]))
    # Workers write side by side; the split is by event time.
    rows.sort(key=lambda row: row[2])
    rows = [row[:2] for row in rows[int(len(rows) * share) :]]
    frauds = sum(row[1] for row in rows)
    print(f"AUC {auc(rows):.4f} over {len(rows):,} rows, {frauds:,} of them fraud ({100 * frauds / len(rows):.2f} %)")


main()
