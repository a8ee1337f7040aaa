package transcript_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/services/standalone/internal/transcript"
)

func TestTranscriptsAsRecordersWriteThem(t *testing.T) {
	t.Parallel()
	const want = `[{Ada Lovelace 5s It stops, at ten: always.} {Bob 12s I see.} {Ada Lovelace 15s Fix it.}]`
	for name, text := range map[string]string{
		"clocks before":  "[00:05] Ada Lovelace: It stops,\nat ten: always.\n[00:12] Bob: I see.\n[00:15] Ada Lovelace: Fix it.\n",
		"clocks after":   "Ada Lovelace (00:05): It stops, at ten: always.\nBob (00:12): I see.\nAda Lovelace (00:15): Fix it.\n",
		"blocks":         "Ada Lovelace  00:05\nIt stops, at ten: always.\n\nBob  00:12\nI see.\n\nAda Lovelace  00:15\nFix it.\n",
		"blocks, clocks": "0:05 Ada Lovelace\nIt stops, at ten: always.\n\n0:12 Bob\nI see.\n\n0:15 Ada Lovelace\nFix it.\n",
		"WebVTT voices":  "WEBVTT\n\n00:00:05.000 --> 00:00:09.000\n<v Ada Lovelace>It stops, at ten: always.</v>\n\n00:00:12.000 --> 00:00:13.000\n<v Bob>I see.\n\n00:00:15.000 --> 00:00:16.000\n<v Ada Lovelace>Fix it.\n",
		"SubRip":         "1\n00:00:05,000 --> 00:00:09,000\nAda Lovelace: It stops, at ten: always.\n\n2\n00:00:12,000 --> 00:00:13,000\nBob: I see.\n\n3\n00:00:15,000 --> 00:00:16,000\nAda Lovelace: Fix it.\n",
		"Windows lines":  "[00:05] Ada Lovelace: It stops, at ten: always.\r\n[00:12] Bob: I see.\r\n[00:15] Ada Lovelace: Fix it.\r\n",
	} {
		got, err := transcript.Read(strings.NewReader(text))
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v\n got %v\nwant %s", name, err, got, want)
		}
	}
	for name, text := range map[string]string{"nothing": "", "a letter": "Dear all,\nplease note: it fails.\nBye\n"} {
		if got, err := transcript.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: taken as %v", name, got)
		}
	}
}

func TestWhoIsACustomer(t *testing.T) {
	t.Parallel()
	turns := func(speakers ...string) (out []transcript.Turn) {
		for _, s := range speakers {
			out = append(out, transcript.Turn{Speaker: s, Text: "words of " + s})
		}
		return out
	}
	for name, c := range map[string]struct {
		turns           []transcript.Turn
		ours, customers []string
		want, undecided string
	}{
		"by labels":            {turns("Agent", "Customer"), nil, nil, "Customer", ""},
		"the other side":       {turns("Bob (Support)", "Ada"), nil, nil, "Ada", ""},
		"two who are left":     {turns("Agent", "Ada", "Bob"), nil, nil, "", "Ada Bob"},
		"a machine tells not":  {turns("Notetaker Bot", "Ada"), nil, nil, "", "Ada"},
		"names alone":          {turns("Ada", "Bob"), nil, nil, "", "Ada Bob"},
		"ours are named":       {turns("Ada", "Bob", "Eve"), []string{"bob"}, nil, "Ada Eve", ""},
		"customers are named":  {turns("Ada", "Bob", "Eve"), nil, []string{"Ada"}, "Ada", ""},
		"a label is overruled": {turns("Agent", "Customer"), []string{"Customer"}, nil, "Agent", ""},
	} {
		speakers := transcript.Speakers(c.turns, c.ours, c.customers)
		var kept []string
		for _, turn := range transcript.Customers(c.turns, speakers) {
			kept = append(kept, turn.Speaker)
		}
		if strings.Join(kept, " ") != c.want || strings.Join(transcript.Undecided(speakers), " ") != c.undecided {
			t.Errorf("%s: kept %v, undecided %v", name, kept, transcript.Undecided(speakers))
		}
	}
}
