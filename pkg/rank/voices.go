package rank

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Utterance is what rank needs to know of one signal.
type Utterance struct {
	Signal   string
	Voice    string // the customer
	Account  string // their company, "" if unknown
	Severity float64
	At       time.Time
}

// Voices gathers a cluster's utterances. The zero value is empty and ready.
type Voices struct {
	byVoice map[string][]Utterance
	signals int
}

// Observe adds an utterance. A signal that is there already changes nothing.
func (v *Voices) Observe(u Utterance) {
	if v.byVoice == nil {
		v.byVoice = map[string][]Utterance{}
	}
	said := v.byVoice[u.Voice]
	if slices.ContainsFunc(said, func(o Utterance) bool { return o.Signal == u.Signal }) {
		return
	}
	v.byVoice[u.Voice] = append(said, u)
	v.signals++
}

// Forget takes an utterance out, as if it had never been said.
func (v *Voices) Forget(voice, signal string) {
	said := v.byVoice[voice]
	rest := slices.DeleteFunc(said, func(o Utterance) bool { return o.Signal == signal })
	v.signals -= len(said) - len(rest)
	if len(rest) == 0 {
		delete(v.byVoice, voice)
		return
	}
	v.byVoice[voice] = rest
}

// Count returns how many people and companies speak, and how many signals there are.
func (v *Voices) Count(account func(voice string) string) (voices, accounts, signals int) {
	seen := map[string]bool{}
	for voice := range v.byVoice {
		if a := account(voice); a != "" {
			seen[a] = true
		}
	}
	return len(v.byVoice), len(seen), v.signals
}

// Inputs sums up as of the newest utterance. account names a voice's company at present,
// value what a company is worth a year. The order of Observe does not matter: sums are
// taken in order of name.
func (v *Voices) Inputs(account func(voice string) string, value func(account string) float64) Inputs {
	in := Inputs{Signals: v.signals}
	for _, said := range v.byVoice {
		for _, u := range said {
			if u.At.After(in.AsOf) {
				in.AsOf = u.At
			}
		}
	}
	lastOfAccount := map[string]time.Time{}
	for _, voice := range slices.Sorted(maps.Keys(v.byVoice)) {
		var last time.Time
		said := slices.SortedFunc(slices.Values(v.byVoice[voice]), func(a, b Utterance) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Signal, b.Signal))
		})
		for _, u := range said {
			in.SeveritySum += u.Severity
			in.Fast += fade(in.AsOf.Sub(u.At), FastHalfLife)
			in.Slow += fade(in.AsOf.Sub(u.At), SlowHalfLife)
			last = u.At
		}
		in.Reach += fade(in.AsOf.Sub(last), HalfLife)
		if a := account(voice); a != "" && last.After(lastOfAccount[a]) {
			lastOfAccount[a] = last
		}
	}
	for _, a := range slices.Sorted(maps.Keys(lastOfAccount)) {
		in.Worth += value(a) * fade(in.AsOf.Sub(lastOfAccount[a]), HalfLife)
	}
	return in
}
