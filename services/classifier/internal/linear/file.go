package linear

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Bounds of what Read accepts.
const (
	maxBits    = 20
	maxClasses = 64
	maxDense   = 4096
)

const magic = "TLH1"

// Write writes a head with its weights rounded to 255 steps per class and part: a row of
// places follows each class, runs of zeros as their length. A float32 scale precedes each.
func (h *Head) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	k := len(h.Classes)
	b.WriteString(magic)
	put := func(v uint64) { b.Write(binary.AppendUvarint(nil, v)) }
	number := func(v float32) { b.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))) }
	put(uint64(k))
	put(uint64(h.Bits))
	put(uint64(len(h.Dense) / k))
	number(h.Temperature)
	for c, name := range h.Classes {
		put(uint64(len(name)))
		b.WriteString(name)
		number(h.Bias[c])
		for _, part := range [][]float32{h.Sparse, h.Dense} {
			column := make([]float32, 0, len(part)/k)
			for i := c; i < len(part); i += k {
				column = append(column, part[i])
			}
			scale, steps := quantise(column)
			number(scale)
			for i := 0; i < len(steps); {
				zeros := i
				for zeros < len(steps) && steps[zeros] == 0 {
					zeros++
				}
				put(uint64(zeros - i))
				if i = zeros; i < len(steps) {
					b.WriteByte(byte(steps[i]))
					i++
				}
			}
		}
	}
	return b.Flush()
}

func quantise(column []float32) (scale float32, steps []int8) {
	for _, v := range column {
		scale = max(scale, max(v, -v)/127)
	}
	steps = make([]int8, len(column))
	if scale > 0 {
		for i, v := range column {
			steps[i] = int8(math.Round(float64(v / scale)))
		}
	}
	return scale, steps
}

// Read reads a head.
func Read(r *bufio.Reader) (*Head, error) {
	fail := func(err error) (*Head, error) { return nil, fmt.Errorf("read head: %w", err) }
	mark := make([]byte, len(magic))
	if _, err := io.ReadFull(r, mark); err != nil || string(mark) != magic {
		return fail(errors.New("not a head"))
	}
	var sizes [3]uint64
	for i := range sizes {
		v, err := binary.ReadUvarint(r)
		if err != nil {
			return fail(err)
		}
		sizes[i] = v
	}
	k, bits, width := int(sizes[0]), int(sizes[1]), int(sizes[2])
	if sizes[0] < 2 || sizes[0] > maxClasses || sizes[1] < 1 || sizes[1] > maxBits || sizes[2] > maxDense {
		return fail(errors.New("sizes out of bounds"))
	}
	h := &Head{Bits: bits, Classes: make([]string, k), Bias: make([]float32, k), Sparse: make([]float32, k<<bits), Dense: make([]float32, k*width)}
	var err error
	if h.Temperature, err = readNumber(r); err != nil {
		return fail(err)
	}
	if h.Temperature <= 0 {
		return fail(errors.New("temperature is not positive"))
	}
	for c := range k {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > 256 {
			return fail(errors.New("class name cut off"))
		}
		name := make([]byte, n)
		if _, err := io.ReadFull(r, name); err != nil {
			return fail(err)
		}
		h.Classes[c] = string(name)
		if h.Bias[c], err = readNumber(r); err != nil {
			return fail(err)
		}
		for _, part := range [][]float32{h.Sparse, h.Dense} {
			if err := readColumn(r, part, c, k); err != nil {
				return fail(err)
			}
		}
	}
	return h, nil
}

func readColumn(r *bufio.Reader, part []float32, c, k int) error {
	scale, err := readNumber(r)
	if err != nil {
		return err
	}
	for i, n := uint64(0), uint64(len(part)/k); i < n; {
		zeros, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		if zeros > n-i {
			return errors.New("weights out of bounds")
		}
		if i += zeros; i < n {
			step, err := r.ReadByte()
			if err != nil {
				return err
			}
			part[int(i)*k+c] = float32(int8(step)) * scale
			i++
		}
	}
	return nil
}

func readNumber(r io.Reader) (float32, error) {
	var raw [4]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return 0, err
	}
	v := math.Float32frombits(binary.LittleEndian.Uint32(raw[:]))
	if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errors.New("a weight is not finite")
	}
	return v, nil
}
