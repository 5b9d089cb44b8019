#!/usr/bin/env python3
"""What the model server answered: where predictions come from, how long they took, the highest scores.

    summary.py scores.jsonl
"""

import json
import sys
from collections import Counter

with open(sys.argv[1], encoding="utf-8") as lines:
    rows = [json.loads(line) for line in lines]
if not rows:
    sys.exit(f"{sys.argv[1]} has no rows")

print(f"{len(rows)} rows")
for (source, name, version), count in Counter(
    (row["prediction_source"], row["model_name"], row["model_version"]) for row in rows
).most_common():
    print(f"  {count:>8}  {source}: model {name}, version {version}")
for error, count in Counter(row["error_class"] for row in rows if row["error_class"]).most_common():
    print(f"  {count:>8}  {error}")
times = sorted(row["latency_ms"] for row in rows if row["latency_ms"] is not None)
if times:
    p50, p99 = (times[min(int(len(times) * q), len(times) - 1)] for q in (0.5, 0.99))
    print(f"  latency of a row: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
print("highest scores:")
for row in sorted(rows, key=lambda row: row["score"] or 0, reverse=True)[:5]:
    fraud = "fraud" if row["fraud"] else ""
    print(f"  {row['score']:.4f}  {row['user_id']:>8}  {row['amount']:>10.2f}  {fraud}".rstrip())
