"""Runs the evaluations on the bundled sets, and on others below the folder DATA, and prints
what was measured beside what others published. `make eval` and `make eval DATA=DIR` run it.

Every figure is one command's, which is printed with --commands. A set that is not there is
said to need a copy; a command that fails fails the run, after the others have run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.join(ROOT, "bin", "throughline")


@dataclass
class Row:
    """One figure: what it says, the set it is measured on, how, and where it is in the report."""

    says: str
    input: str
    args: list
    path: list
    published: str = ""


SEED = "services/classifier/seed/"
SETS = "scripts/eval/sets/"
MAPS = "scripts/eval/maps/"

# Published figures are cited in the guide beside this file; "prototype" is our own first try.
ROWS = [
    Row("sentiment as shipped, UCI test, accuracy", SETS + "uci-sentiment-test.jsonl", ["classify", "--field", "label"], ["fields", "sentiment", "accuracy"]),
    Row("sentiment fitted on the set, UCI test, accuracy", SETS + "uci-sentiment-test.jsonl",
        ["classify", "--field", "label,mood", "--fit", SEED + "sentences.jsonl"], ["fields", "sentiment", "accuracy"], "prototype .877"),
    Row("spans, test part of services/classifier/gold, F1", "services/classifier/gold/test.jsonl", ["extract"], ["agreement", "span_f1"]),
    Row("signals for each labelled one, the same", "services/classifier/gold/test.jsonl", ["extract"], ["agreement", "signals_per_item_ratio"]),
    Row("clusters, DSTC11 insurance, NMI", SETS + "dstc11-insurance.jsonl", ["cluster"], ["scores", "nmi"]),
    Row("clusters, CLINC150 test shuffled, NMI", SETS + "clinc150-test.jsonl", ["cluster"], ["scores", "nmi"], "USNID, told K: .910; k-means .711"),
    Row("clusters, CLINC150 test shuffled, ARI", SETS + "clinc150-test.jsonl", ["cluster"], ["scores", "ari"], "USNID, told K: .685; k-means .277"),
    Row("bug against feature request as shipped, app reviews, macro F1", "appreviews4/test.jsonl",
        ["classify", "--field", "label", "--map", MAPS + "appreviews4.yaml"], ["fields", "kind", "macro_f1"], "crossing channels: .60 to .72"),
    Row("bug against feature request as shipped, NLBSE'24 dev, macro F1", "nlbse24/dev.jsonl",
        ["classify", "--field", "label", "--map", MAPS + "nlbse24.yaml"], ["fields", "kind", "macro_f1"], "crossing channels: .60 to .72"),
    Row("kinds fitted on the set, NLBSE'24 dev, macro F1", "nlbse24/dev.jsonl",
        ["classify", "--field", "label", "--fit", "nlbse24/train.jsonl"], ["fields", "kind", "macro_f1"], "on its test: fastText .718, RoBERTa .792, SetFit .824"),
    Row("kinds fitted on the set, app reviews, macro F1", "appreviews4/test.jsonl",
        ["classify", "--field", "label", "--fit", "appreviews4/train.jsonl"], ["fields", "kind", "macro_f1"], "prototype, another split: .932"),
]


def located(name, data):
    """The path of a file of the repository or of the folder DATA, or None where there is none."""
    for base in (ROOT, data):
        if base and os.path.exists(os.path.join(base, name)):
            return os.path.join(base, name)
    return None


def command(row, data, output):
    """The command of a row, or None where a file of it is missing."""
    args = [PROGRAM, "eval", row.args[0], "--models", os.path.join(ROOT, ".cache", "models"), "--output", output]
    source = located(row.input, data)
    if source is None:
        return None
    args += ["--input", source]
    for word in row.args[1:]:
        if "/" in word:
            word = located(word, data)
            if word is None:
                return None
        args.append(word)
    return args


def measured(args, reports):
    """The report of a command, which is run once however many rows quote it."""
    key = tuple(args)
    if key not in reports:
        done = subprocess.run(args, capture_output=True, text=True)
        if done.returncode != 0:
            sys.stderr.write(done.stderr)
        reports[key] = json.loads(done.stderr) if done.returncode == 0 else None
    return reports[key]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="", help="folder of further sets, as <set>/<part>.jsonl")
    parser.add_argument("--commands", action="store_true", help="print the command of each figure")
    options = parser.parse_args()
    failed, reports = False, {}
    print(f"{'figure':66} {'here':>6} {'items/s':>8}  published or before")
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "answers.jsonl")
        for row in ROWS:
            args = command(row, options.data, output)
            if args is None:
                print(f"{row.says:66} needs your copy of {row.input} (make eval DATA=DIR)", flush=True)
                continue
            report = measured(args, reports)
            if report is None:
                failed = True
                print(f"{row.says:66} failed", flush=True)
                continue
            value = report
            for step in row.path:
                value = value[step]
            print(f"{row.says:66} {value:6.3f} {report.get('items_per_second', 0):8.0f}  {row.published}", flush=True)
            if options.commands:
                print("   " + " ".join(os.path.relpath(a, ROOT) if os.path.isabs(a) else a for a in args))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
