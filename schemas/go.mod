module github.com/throughline-dev/throughline/schemas

go 1.26.0
