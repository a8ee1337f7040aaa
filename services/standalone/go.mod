module github.com/throughline-dev/throughline/services/standalone

go 1.26.0

require github.com/throughline-dev/throughline/schemas v0.0.0

require github.com/throughline-dev/throughline/pkg v0.0.0

require github.com/throughline-dev/throughline/services/ingestor v0.0.0

require github.com/throughline-dev/throughline/services/classifier v0.0.0

require github.com/throughline-dev/throughline/services/clusterer v0.0.0

require github.com/throughline-dev/throughline/services/context-publisher v0.0.0

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/schollz/progressbar/v3 v3.19.1 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace github.com/throughline-dev/throughline/schemas => ../../schemas

replace github.com/throughline-dev/throughline/pkg => ../../pkg

replace github.com/throughline-dev/throughline/services/ingestor => ../ingestor

replace github.com/throughline-dev/throughline/services/classifier => ../classifier

replace github.com/throughline-dev/throughline/services/clusterer => ../clusterer

replace github.com/throughline-dev/throughline/services/context-publisher => ../context-publisher
