package background

import (
	"bytes"
	"math"
	"testing"
)

func small() *Background {
	b := &Background{
		Mean:      make([]float32, Width),
		Documents: 1000,
		Rarities:  map[uint32]uint8{0: 1, 7: 255, math.MaxUint32: 30},
	}
	b.Mean[3] = -.25
	return b
}

func TestEncodedBackgroundDecodes(t *testing.T) {
	t.Parallel()
	want := small()
	var file bytes.Buffer
	if err := want.Encode(&file); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Documents != want.Documents || got.Mean[3] != want.Mean[3] || len(got.Rarities) != len(want.Rarities) {
		t.Fatalf("got %d documents, mean %g, %d rarities", got.Documents, got.Mean[3], len(got.Rarities))
	}
	for key, code := range want.Rarities {
		if got.Rarities[key] != code {
			t.Errorf("key %d has code %d, want %d", key, got.Rarities[key], code)
		}
	}
}

func TestDamagedBackgroundsAreRefused(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	if err := small().Encode(&file); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	for n := 0; n < len(whole); n += 1 + len(whole)/50 {
		if _, err := Decode(bytes.NewReader(whole[:n])); err == nil {
			t.Fatalf("accepted the first %d of %d bytes", n, len(whole))
		}
	}
	if err := (&Background{}).Encode(&bytes.Buffer{}); err == nil {
		t.Error("encoded a background without shape")
	}
}

func TestShippedBackground(t *testing.T) {
	t.Parallel()
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	if len(shipped) > 2<<20 {
		t.Errorf("the background has %d bytes", len(shipped))
	}
	if b.Documents < 10_000 || len(b.Rarities) < 10_000 {
		t.Errorf("fitted on %d documents, %d features", b.Documents, len(b.Rarities))
	}
	for i, v := range b.Mean {
		if math.IsNaN(float64(v)) || math.Abs(float64(v)) > 1 {
			t.Fatalf("value %d of the mean is %g", i, v)
		}
	}
}

func TestRarity(t *testing.T) {
	t.Parallel()
	b := small()
	unseen := b.Rarity(12345 << 32)
	if want := math.Log(1001); math.Abs(float64(unseen)-want) > rarityStep {
		t.Errorf("an unseen feature has rarity %g, want %g", unseen, want)
	}
	if got := b.Rarity(7<<32 | 99); got != 255*rarityStep {
		t.Errorf("key 7 has rarity %g", got)
	}
	if common, rare := Quantise(900, 1000), Quantise(3, 1000); common >= rare {
		t.Errorf("common %d, rare %d", common, rare)
	}
}
