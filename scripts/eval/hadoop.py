"""Makes the files of `throughline eval attach` from a copy of gitbugs-hadoop: every issue is
a ticket (tickets.jsonl), and each issue of a labelled pair of duplicates is feedback that
names the other (feedback.jsonl), the later of the two also apart (later.jsonl).

    python3 scripts/eval/hadoop.py DATA/gitbugs-hadoop OUT
    bin/throughline eval attach --tickets OUT/tickets.jsonl --input OUT/feedback.jsonl --output /dev/null
"""

import json
import os
import sys


def main(data, out):
    issues = {}
    with open(os.path.join(data, "issues.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            issue = json.loads(line)
            issues[issue["id"]] = issue
    pairs = set()
    with open(os.path.join(data, "duplicates.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            if pair["a"] in issues and pair["b"] in issues and pair["a"] != pair["b"]:
                pairs.add(tuple(sorted((pair["a"], pair["b"]), key=lambda i: (issues[i]["ts"], i))))
    os.makedirs(out, exist_ok=True)

    def write(name, lines):
        with open(os.path.join(out, name), "w", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def said(of, about):
        return {"id": of, "text": issues[of]["text"] + "\n" + issues[of]["body"], "ticket": about}

    later = [said(new, old) for old, new in sorted(pairs)]
    write("tickets.jsonl", ({"id": i["id"], "title": i["text"], "body": i["body"]} for i in issues.values()))
    write("later.jsonl", later)
    write("feedback.jsonl", later + [said(old, new) for old, new in sorted(pairs)])


if __name__ == "__main__":
    main(*sys.argv[1:])
