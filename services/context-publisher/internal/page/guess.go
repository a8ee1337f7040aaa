package page

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/access/attempts"
)

// How often one may be wrong at the door: from one address, with one token whoever tries it, and
// through one proxy, whose word about addresses need not be true.
var (
	perAddress = attempts.Limit{Most: 10, Window: 15 * time.Minute}
	perToken   = attempts.Limit{Most: 10, Window: 15 * time.Minute}
	perProxy   = attempts.Limit{Most: 200, Window: 15 * time.Minute}
)

// tries are the limits that an attempt to sign in counts for, by key. token is "" for an attempt
// at the OpenID provider.
func tries(r *http.Request, token string) map[string]attempts.Limit {
	who, proxy := comesFrom(r)
	out := map[string]attempts.Limit{"address " + who: perAddress}
	if proxy != "" {
		out["proxy "+proxy] = perProxy
	}
	if token != "" {
		hash := sha256.Sum256([]byte(token))
		out["token "+hex.EncodeToString(hash[:])] = perToken
	}
	return out
}

// comesFrom is the address that a request comes from. A peer on a private or a loopback address
// that says whom it forwards is a proxy of ours: the last address that it names is the one that
// it saw itself. Of an IPv6 address the network counts, since whoever has one has all of it.
func comesFrom(r *http.Request) (who, proxy string) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, ""
	}
	peer := at.Addr().Unmap()
	if !peer.IsPrivate() && !peer.IsLoopback() {
		return network(peer), ""
	}
	forwarded := r.Header.Values("X-Forwarded-For")
	if len(forwarded) == 0 {
		return network(peer), ""
	}
	last := forwarded[len(forwarded)-1]
	client, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
	if err != nil {
		return network(peer), ""
	}
	return network(client.Unmap()), network(peer)
}

func network(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// mustWait answers an attempt to sign in that comes after too many wrong ones, right or wrong,
// and reports whether it did.
func (p *Page) mustWait(w http.ResponseWriter, r *http.Request, token, next string) bool {
	var wait time.Duration
	for key, limit := range tries(r, token) {
		wait = max(wait, p.failures.Wait(key, limit))
	}
	if wait <= 0 {
		return false
	}
	p.o.Logger.WarnContext(r.Context(), "sign-in refused", "by", "too many attempts", "address", r.RemoteAddr)
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	minutes := int(math.Ceil(wait.Minutes()))
	text := fmt.Sprintf("There were too many wrong attempts to sign in. Try again in %d minutes.", minutes)
	if minutes == 1 {
		text = "There were too many wrong attempts to sign in. Try again in a minute."
	}
	p.askToken(w, r, http.StatusTooManyRequests, loginView{Next: next, Problem: text})
	return true
}

// wasWrong counts an attempt that failed.
func (p *Page) wasWrong(r *http.Request, token string) {
	for key, limit := range tries(r, token) {
		p.failures.Add(key, limit)
	}
}
