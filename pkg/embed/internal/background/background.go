// Package background holds what the embedding knows of ordinary text before it
// sees any: how rare each word is, and where in the encoder's space ordinary
// text lies. It was fitted once, by pkg/embed/fitbackground; README.md beside
// it says on what.
package background

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
)

// Width is the width of the encoder's vectors.
const Width = 384

//go:embed background.bin
var shipped []byte

// Background is immutable once decoded, and safe for concurrent use.
type Background struct {
	// Mean is the mean of the encoder's vectors at length one, Width values.
	Mean []float32

	// Documents is how many texts the rarities were counted on.
	Documents int
	// Rarities maps the upper half of a feature's key to its quantised rarity.
	// A feature that is not there was seen in fewer than MinDocuments texts.
	Rarities map[uint32]uint8
}

// MinDocuments is how many texts a feature must have been seen in to be
// remembered. What is rarer counts as unseen.
const MinDocuments = 3

// rarityStep is one step of a quantised rarity: 255 steps reach e^12.75 texts.
const rarityStep = 0.05

// Quantise codes the inverse document frequency of a feature seen in seen of
// documents texts: ln((documents+1)/(seen+1)), as in smoothed TF-IDF.
func Quantise(seen, documents int) uint8 {
	idf := math.Log(float64(documents+1) / float64(seen+1))
	return uint8(min(255, math.Round(idf/rarityStep)))
}

// Rarity is the inverse document frequency of the feature with this key.
func (b *Background) Rarity(key uint64) float32 {
	if code, ok := b.Rarities[uint32(key>>32)]; ok {
		return rarityStep * float32(code)
	}
	return rarityStep * float32(Quantise(0, b.Documents))
}

// Sum is the SHA-256 of the shipped background, in hexadecimal.
func Sum() string {
	sum := sha256.Sum256(shipped)
	return hex.EncodeToString(sum[:])
}

// Shipped decodes the background that is part of the program, once. Its failure
// would be a broken build, not a broken input.
var Shipped = sync.OnceValues(func() (*Background, error) { return Decode(bytes.NewReader(shipped)) })

const magic = "throughline background 2\n"

// Encode writes b: the magic line, then gzip of the counts, the mean and the
// rarities (sorted keys as differences).
func (b *Background) Encode(w io.Writer) error {
	if len(b.Mean) != Width {
		return errors.New("encode background: wrong shape")
	}
	if _, err := io.WriteString(w, magic); err != nil {
		return err
	}
	packed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	var body []byte
	body = binary.AppendUvarint(body, uint64(b.Documents))
	body = binary.AppendUvarint(body, uint64(len(b.Rarities)))
	for _, v := range b.Mean {
		body = binary.LittleEndian.AppendUint32(body, math.Float32bits(v))
	}
	keys := make([]uint32, 0, len(b.Rarities))
	for key := range b.Rarities {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var last uint32
	for _, key := range keys {
		body = binary.AppendUvarint(body, uint64(key-last))
		last = key
	}
	for _, key := range keys {
		body = append(body, b.Rarities[key])
	}
	if _, err := packed.Write(body); err != nil {
		return err
	}
	return packed.Close()
}

// Decode reads what Encode wrote.
func Decode(r io.Reader) (*Background, error) {
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		return nil, errors.New("decode background: not a background file")
	}
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("decode background: %w", err)
	}
	body, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, fmt.Errorf("decode background: %w", err)
	}
	in := bytes.NewReader(body)
	documents, err1 := binary.ReadUvarint(in)
	count, err2 := binary.ReadUvarint(in)
	if err := errors.Join(err1, err2); err != nil || count > uint64(len(body)) {
		return nil, errors.New("decode background: cut short")
	}
	b := &Background{
		Documents: int(documents),
		Mean:      make([]float32, Width),
		Rarities:  make(map[uint32]uint8, count),
	}
	errs := []error{binary.Read(in, binary.LittleEndian, b.Mean)}
	keys := make([]uint32, count)
	var last uint32
	for i := range keys {
		step, err := binary.ReadUvarint(in)
		errs = append(errs, err)
		last += uint32(step)
		keys[i] = last
	}
	for _, key := range keys {
		code, err := in.ReadByte()
		errs = append(errs, err)
		b.Rarities[key] = code
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("decode background: cut short: %w", err)
	}
	return b, nil
}
