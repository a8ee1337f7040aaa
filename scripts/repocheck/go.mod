module github.com/throughline-dev/throughline/scripts/repocheck

go 1.26.0


