package mcpserver

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/problem"
)

// Pace is how many requests a token may make: PerSecond on average, Burst at once. An agent
// in a loop then waits, and other people's questions do not.
type Pace struct {
	PerSecond float64
	Burst     int
}

// paces holds one limiter for each token that has asked; there are as many as the
// configuration has tokens.
type paces struct {
	Pace
	mu sync.Mutex
	of map[string]*rate.Limiter
}

func newPaces(p Pace) *paces { return &paces{Pace: p, of: map[string]*rate.Limiter{}} }

func (p *paces) limiter(who string) *rate.Limiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.of[who]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(p.PerSecond), p.Burst)
		p.of[who] = l
	}
	return l
}

// guard answers 429 with Retry-After to a token that asks too often.
func (p *paces) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := access.From(r.Context())
		now := time.Now()
		turn := p.limiter(who.Workspace+"/"+who.Name).ReserveN(now, 1)
		wait := turn.DelayFrom(now)
		if wait == 0 {
			next.ServeHTTP(w, r)
			return
		}
		turn.CancelAt(now)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		problem.Write(w, http.StatusTooManyRequests, "this token asks too often", "wait as Retry-After says")
	})
}
