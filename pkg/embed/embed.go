// Package embed turns text into vectors: texts that mean the same come out
// close. It has an encoder of its own that needs no key and no network, a
// fallback that needs no weights either, and any OpenAI-compatible provider.
//
// It promises unit-length rows, one per text and in order; that the same text
// gives the same vector, whatever it is embedded beside; and that vectors of
// different spaces are told apart by Space.ID, which belongs beside every
// stored vector.
//
// It refuses to mix: a provider that answers with other dimensions is an error,
// and so are weights that are not the pinned ones. No text ever appears in an
// error.
package embed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/embed/internal/matrix"
)

// Embedder turns texts into vectors of one space. It is safe for concurrent use.
type Embedder interface {
	// Space says which space the vectors are of. It never changes.
	Space() Space
	// Embed returns a row of Space().Dimensions values and length one per text,
	// in order, and deterministically. Text that says nothing (empty, or white
	// space, or control characters only) gives a vector of its own, the same one
	// each time. The rows are the caller's. Embed fails as a whole: with the
	// context's error if that ends first, or with what the encoder or the
	// provider failed with.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Space identifies an embedding space. Vectors of two spaces never meet: their
// inner product means nothing.
type Space struct {
	// Model names the recipe or the provider's model: "bge-small-hybrid".
	Model string
	// Version is a hash, in hexadecimal, of everything that decides the numbers.
	Version string
	// Dimensions is the length of a vector.
	Dimensions int
}

// ID is a short string that two spaces share only if they are the same:
// model@version/dimensions, the version cut to twelve digits.
func (s Space) ID() string {
	return fmt.Sprintf("%s@%.12s/%d", s.Model, s.Version, s.Dimensions)
}

// Dot returns the inner product of a and b, which is their cosine where both
// have length one. b must be at least as long as a; what it has beyond is not
// read. Where the processor has AVX2 it is used; the result depends on the
// kind of processor in its last bits.
func Dot(a, b []float32) float32 { return matrix.Dot(a, b) }

// version hashes what decides the numbers of a space.
func version(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
