package rank

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Utterance is what rank needs to know of one signal.
type Utterance struct {
	Signal   string
	Voice    string // the customer
	Severity float64
	At       time.Time
	Leaving  bool    // they speak of leaving: see Leaving
	Copy     uint64  // equal for long texts that are equal word for word; 0 for others: see Copy
	Weight   float64 // what its day counts for momentum: see Rhythm
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

// employer is what Inputs gathers of an account, or of a person without one.
type employer struct {
	people int
	last   time.Time
	left   time.Time // when somebody last spoke of leaving; zero for never
	days   map[string]Utterance
}

// Inputs sums up as of the newest utterance. account names a voice's company at present,
// value what a company counts for a year. The order of Observe does not matter: sums are
// taken in order of name. Since and Boost are the caller's to set.
func (v *Voices) Inputs(account func(voice string) string, value func(account string) float64) Inputs {
	var in Inputs
	companies := map[string]*employer{}
	echoes := v.echoes()
	for _, voice := range slices.Sorted(maps.Keys(v.byVoice)) {
		said := sorted(v.byVoice[voice])
		if last := said[len(said)-1].At; last.After(in.AsOf) {
			in.AsOf = last
		}
		if echoes[voice] {
			continue
		}
		key := account(voice)
		if key == "" {
			key = "\x00" + voice
		}
		c := companies[key]
		if c == nil {
			c = &employer{days: map[string]Utterance{}}
			companies[key] = c
		}
		in.People++
		c.people++
		severity, leaving := 0.0, false
		for _, u := range said {
			severity += u.Severity
			if u.Leaving {
				leaving = true
				c.left = latest(c.left, u.At)
			}
			c.last = latest(c.last, u.At)
			day := u.At.UTC().Format(time.DateOnly)
			if first, known := c.days[day]; !known || before(u, first) {
				c.days[day] = u
			}
		}
		in.SeveritySum += severity / float64(len(said))
		if leaving {
			in.Churning++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(companies)) {
		c := companies[key]
		in.Reach += math.Sqrt(float64(c.people)) * fade(in.AsOf.Sub(c.last), HalfLife)
		for _, day := range slices.Sorted(maps.Keys(c.days)) {
			u := c.days[day]
			in.Fast += u.Weight * fade(in.AsOf.Sub(u.At), FastHalfLife)
			in.Slow += u.Weight * fade(in.AsOf.Sub(u.At), SlowHalfLife)
		}
		if strings.HasPrefix(key, "\x00") {
			continue
		}
		worth := value(key)
		in.Worth += worth * fade(in.AsOf.Sub(c.last), HalfLife)
		if !c.left.IsZero() {
			in.AtRisk += worth * fade(in.AsOf.Sub(c.left), HalfLife)
		}
	}
	return in
}

// echoes are the voices that said nothing but long texts which another voice had said
// before them.
func (v *Voices) echoes() map[string]bool {
	first := map[uint64]Utterance{}
	for _, said := range v.byVoice {
		for _, u := range said {
			if o, known := first[u.Copy]; u.Copy != 0 && (!known || before(u, o)) {
				first[u.Copy] = u
			}
		}
	}
	out := map[string]bool{}
	for voice, said := range v.byVoice {
		out[voice] = !slices.ContainsFunc(said, func(u Utterance) bool { return u.Copy == 0 || first[u.Copy].Voice == voice })
	}
	return out
}

func sorted(said []Utterance) []Utterance {
	return slices.SortedFunc(slices.Values(said), func(a, b Utterance) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Signal, b.Signal))
	})
}

func before(a, b Utterance) bool {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Signal, b.Signal)) < 0
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
