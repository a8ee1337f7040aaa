#!/usr/bin/env bash
# Builds the archives of a release, one for each platform: build.sh VERSION FOLDER
# The same commit gives the same bytes. PLATFORMS narrows what is built.
set -euo pipefail
version=$1 out=$2
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}
[[ $version =~ ^[A-Za-z0-9.+-]+$ ]] || { echo "give a version such as v1.2.3" >&2; exit 2; }
at=$(git log -1 --format=%cI)
rm -rf "$out"
for platform in $platforms; do
  name=throughline-$version-${platform/\//-}
  mkdir -p "$out/$name"
  echo "building $name"
  GOOS=${platform%/*} GOARCH=${platform#*/} CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/throughline-dev/throughline/pkg/process.Version=$version" -o "$out/$name/" \
    ./services/ingestor/cmd/... ./services/classifier/cmd/... ./services/clusterer/cmd/... ./services/context-publisher/cmd/... ./services/standalone/cmd/...
  cp -r LICENSE README.md CHANGELOG.md deploy "$out/$name/"
  rm -f "$out/$name/deploy/compose/.env"
  tar --sort=name --mtime="$at" --owner=0 --group=0 --numeric-owner -C "$out" -cf - "$name" | gzip -n9 > "$out/$name.tar.gz"
  rm -r "${out:?}/$name"
done
