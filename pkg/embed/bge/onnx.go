package bge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// tensor is one array of numbers of an ONNX file, of whichever type.
type tensor struct {
	raw    []byte // bytes, signed or not; or float32, little-endian
	floats []float32
}

// Fields of onnx.proto (ONNX 1.x): ModelProto.graph, GraphProto.initializer,
// and of TensorProto its name, its bytes and its packed floats.
const (
	modelGraph       = 7
	graphInitializer = 5
	tensorFloats     = 4
	tensorName       = 8
	tensorRaw        = 9
)

var errCutShort = errors.New("cut short")

// tensors lists the arrays of an ONNX file by name. They share its memory.
func tensors(file []byte) (map[string]tensor, error) {
	out := map[string]tensor{}
	err := fields(file, func(number protowire.Number, graph []byte) error {
		if number != modelGraph {
			return nil
		}
		return fields(graph, func(number protowire.Number, array []byte) error {
			if number != graphInitializer {
				return nil
			}
			var name string
			var t tensor
			err := fields(array, func(number protowire.Number, content []byte) error {
				switch number {
				case tensorName:
					name = string(content)
				case tensorRaw:
					t.raw = content
				case tensorFloats:
					t.floats = append(t.floats, floats(content)...)
				}
				return nil
			})
			out[name] = t
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", weightsFile, err)
	}
	return out, nil
}

// fields calls each with every field of a message that has bytes, and steps
// over the others. A float that stands alone is given as its four bytes.
func fields(message []byte, each func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errCutShort
		}
		message = message[n:]
		n = protowire.ConsumeFieldValue(number, kind, message)
		if n < 0 {
			return errCutShort
		}
		switch kind {
		case protowire.BytesType:
			content, _ := protowire.ConsumeBytes(message)
			if err := each(number, content); err != nil {
				return err
			}
		case protowire.Fixed32Type:
			if err := each(number, message[:n]); err != nil {
				return err
			}
		}
		message = message[n:]
	}
	return nil
}

func floats(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}
