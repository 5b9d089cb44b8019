#!/usr/bin/env python3
"""How far the fast model may be trusted: agreement on the sample, and the widest divergences.

    summary.py scores.jsonl divergences.jsonl
"""

import json
import sys


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


scores, divergences = map(read, sys.argv[1:3])
compared = [row for row in scores if row["agrees"] is not None]
print(f"{len(scores)} rows scored by the fast model, {len(compared)} of them by the accurate one too")
if compared:
    last = max(compared, key=lambda row: row["compared"])
    print(
        f"  version {last['model_version']} against {last['accurate_model_version']}: they agree on "
        f"{last['agreement']:.2%}, mean difference {last['mean_difference']:.4f}"
    )
print(f"{len(divergences)} divergences; the widest:")
for row in sorted(divergences, key=lambda row: row["difference"] or 0, reverse=True)[:5]:
    fraud = "fraud" if row["fraud"] else ""
    print(
        f"  fast {row['fast_score']:.4f}  accurate {row['accurate_score']:.4f}  {row['user_id']:>8}  "
        f"{row['amount']:>10.2f}  {fraud}".rstrip()
    )
