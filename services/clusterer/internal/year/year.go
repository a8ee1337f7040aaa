// Package year makes up a year of one workspace's feedback, with what should be alarmed about
// planted in it, and with what should not: weekdays and hours with a rhythm, loud days of
// everything, one person who says the same ten times, an account whose people all write on one
// day, a text that is copied. The same options give the same year.
package year

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is what was planted.
type Kind string

// What is planted. Burst, Spike and Leaving should be alarmed about; Person, Company and
// Copied are attempts to be heard more than one is, which should not; neither should Loud,
// days on which everything is said more often.
const (
	Burst   Kind = "burst"   // 8 to 20 people of several accounts within 12 hours
	Spike   Kind = "spike"   // 4 to 7 severe signals of several accounts within 50 minutes
	Leaving Kind = "leaving" // somebody of one of the three largest accounts speaks of going
	Person  Kind = "person"  // one person, ten times within 3 hours
	Company Kind = "company" // twelve people of one account within 6 hours
	Copied  Kind = "copied"  // one long text, word for word, by ten people of ten accounts
	Loud    Kind = "loud"    // a day with twice as much of everything
)

// Kinds lists them, those to be alarmed about first.
var Kinds = []Kind{Burst, Spike, Leaving, Person, Company, Copied, Loud}

// Options are the size of a year.
type Options struct {
	Seed     uint64
	Days     int
	PerDay   float64 // signals, beside what is planted
	Subjects int     // things that people speak of, some far oftener than others
	Each     int     // how many of each kind are planted
}

// Default is a year of a team with 40 signals a day about 120 subjects.
func Default() Options { return Options{Seed: 1, Days: 365, PerDay: 40, Subjects: 120, Each: 24} }

// Saying is one signal of the year. Planted is the index of what it is part of, -1 for what
// is only said.
type Saying struct {
	At                time.Time
	Subject           int
	Customer, Account string
	Severity          float64
	Quote             string
	Vector            []float32
	Planted           int
}

// Planted is one thing that was planted. Subject is -1 for a loud day.
type Planted struct {
	Kind     Kind
	Subject  int
	From, To time.Time
}

// Accounts is how many companies there are; Value what one of them is worth a year, the first
// the most.
const Accounts = 90

// Value is what an account is worth a year: a few are worth as much as all others.
func Value(account int) float64 { return math.Round(400_000 / math.Pow(float64(account+1), 1.1)) }

// Account is an account's id.
func Account(n int) string { return fmt.Sprintf("acc_%02d", n) }

// quiet is how long the year runs before anything is planted: alarms need a past.
const quiet = 28

// dimensions of the vectors, and how alike signals of one subject are, in the mean: that of
// short texts under the encoder. Subjects come in areas of eight, whose subjects are alike.
const (
	dimensions = 96
	area       = 8
	common     = 0.45 // of a subject's direction, from its area
	noise      = 0.72 // of a signal's vector, of its own
)

// Make makes the year, in order of time, with what was planted.
func Make(o Options) ([]Saying, []Planted) {
	m := &maker{o: o, r: rand.New(rand.NewPCG(o.Seed, 365)), start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	m.subjects()
	m.plant()
	m.ordinary()
	slices.SortStableFunc(m.said, func(a, b Saying) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	return m.said, m.planted
}

type maker struct {
	o        Options
	r        *rand.Rand
	start    time.Time
	centres  [][]float64
	loud     map[int]bool // days
	said     []Saying
	planted  []Planted
	speakers int
}

func (m *maker) subjects() {
	var of []float64
	for s := range m.o.Subjects {
		if s%area == 0 {
			of = m.direction()
		}
		own := m.direction()
		centre := make([]float64, dimensions)
		for i := range centre {
			centre[i] = math.Sqrt(common)*of[i] + math.Sqrt(1-common)*own[i]
		}
		m.centres = append(m.centres, centre)
	}
}

func (m *maker) direction() []float64 {
	v, norm := make([]float64, dimensions), 0.0
	for i := range v {
		v[i] = m.r.NormFloat64()
		norm += v[i] * v[i]
	}
	for i := range v {
		v[i] /= math.Sqrt(norm)
	}
	return v
}

// vector is one of a subject, of unit length.
func (m *maker) vector(subject int) []float32 {
	own, v, norm := m.direction(), make([]float64, dimensions), 0.0
	for i := range v {
		v[i] = math.Sqrt(1-noise*noise)*m.centres[subject][i] + noise*own[i]
		norm += v[i] * v[i]
	}
	out := make([]float32, dimensions)
	for i := range out {
		out[i] = float32(v[i] / math.Sqrt(norm))
	}
	return out
}

// few draws a number below n, small ones oftener, as popularity goes.
func (m *maker) few(n int) int {
	return int(math.Pow(float64(n+1), m.r.Float64())) - 1
}

// say adds a signal. An empty customer is somebody new of the account.
func (m *maker) say(at time.Time, subject int, customer, account, quote string, severity float64, planted int) {
	m.speakers++
	if customer == "" {
		customer = fmt.Sprintf("cus_%06d", m.speakers)
	}
	if quote == "" {
		quote = fmt.Sprintf("subject%d word%d", subject, m.speakers)
	}
	m.said = append(m.said, Saying{At: at, Subject: subject, Customer: customer, Account: account, Severity: severity, Quote: quote, Vector: m.vector(subject), Planted: planted})
}

// usual is a severity of every day: one in twenty is a severe one.
func (m *maker) usual() float64 {
	if m.r.IntN(20) == 0 {
		return 0.75 + 0.25*m.r.Float64()
	}
	return 0.7 * m.r.Float64()
}

// plant puts each kind's own into slices of the year that are its alone, in turn.
func (m *maker) plant() {
	m.loud = map[int]bool{}
	total := m.o.Each * len(Kinds)
	step := float64(m.o.Days-quiet-2) / float64(max(total, 1))
	for n := range total {
		kind := Kinds[n%len(Kinds)]
		day := quiet + int(float64(n)*step)
		from := m.start.AddDate(0, 0, day).Add(time.Duration(7+m.r.IntN(9)) * time.Hour)
		subject := m.r.IntN(m.o.Subjects)
		p := Planted{Kind: kind, Subject: subject, From: from, To: from}
		at := func(within time.Duration) time.Time {
			t := from.Add(time.Duration(m.r.Float64() * float64(within)))
			if t.After(p.To) {
				p.To = t
			}
			return t
		}
		index := len(m.planted)
		switch kind {
		case Burst:
			for range 8 + m.r.IntN(13) {
				m.say(at(12*time.Hour), subject, "", Account(m.few(Accounts)), "", m.usual(), index)
			}
		case Spike:
			for range 4 + m.r.IntN(4) {
				m.say(at(50*time.Minute), subject, "", Account(m.few(Accounts)), "", 0.75+0.25*m.r.Float64(), index)
			}
		case Leaving:
			m.say(from, subject, "", Account(m.r.IntN(3)), "we are going to cancel our subscription", 0.6, index)
		case Person:
			who := fmt.Sprintf("cus_loud_%d", n)
			account := Account(m.r.IntN(Accounts))
			for range 10 {
				m.say(at(3*time.Hour), subject, who, account, "", 0.9, index)
			}
		case Company:
			account := Account(m.r.IntN(Accounts))
			for range 12 {
				m.say(at(6*time.Hour), subject, "", account, "", 0.9, index)
			}
		case Copied:
			text := fmt.Sprintf("please all vote for this subject%d because it matters to our whole community today", subject)
			for range 10 {
				m.say(at(6*time.Hour), subject, "", Account(m.r.IntN(Accounts)), text, 0.9, index)
			}
		case Loud:
			p.Subject, p.From = -1, m.start.AddDate(0, 0, day)
			p.To = p.From.AddDate(0, 0, 1)
			m.loud[day] = true
		}
		m.planted = append(m.planted, p)
	}
}

// ordinary is what is said on every day: less at night and at weekends, some subjects far
// oftener than others, and each with its own favourite weekday.
func (m *maker) ordinary() {
	for day := range m.o.Days {
		date := m.start.AddDate(0, 0, day)
		much := m.o.PerDay
		if w := date.Weekday(); w == time.Saturday || w == time.Sunday {
			much *= 0.35
		} else if w == time.Monday {
			much *= 1.4
		}
		if m.loud[day] {
			much *= 2
		}
		for range int(much * (0.8 + 0.4*m.r.Float64())) {
			subject := m.few(m.o.Subjects)
			if int(date.Weekday()) == subject%7 && m.r.IntN(2) == 0 {
				m.say(date.Add(m.hour()), subject, "", Account(m.few(Accounts)), "", m.usual(), -1)
			}
			m.say(date.Add(m.hour()), m.few(m.o.Subjects), "", Account(m.few(Accounts)), "", m.usual(), -1)
		}
	}
}

// hour is a time of day, around two in the afternoon.
func (m *maker) hour() time.Duration {
	for {
		if h := 14 + 4*m.r.NormFloat64(); h >= 0 && h < 24 {
			return time.Duration(h * float64(time.Hour))
		}
	}
}
