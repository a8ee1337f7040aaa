package audit_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/access/audit"
	"github.com/throughline-dev/throughline/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var now = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

func request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/clusters/clu_1/decisions?q=words", strings.NewReader("body"))
	r.Pattern, r.RemoteAddr = "POST /clusters/{id}/decisions", "192.0.2.7:4711"
	r.Header.Set("X-Forwarded-For", "198.51.100.1\x00\n, "+strings.Repeat("9", 500))
	return r
}

func TestWhatWasDoneIsKept(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	var out bytes.Buffer
	log := audit.New(db, slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), over} {
		log.Record(ctx, access.Principal{Workspace: "acme", Name: "maya", Via: access.ByOpenID}, request(), http.StatusSeeOther)
	}
	var rows uint64
	var at time.Time
	var who, via, route, target, from, forwarded string
	var status uint16
	if err := db.Conn().QueryRow(t.Context(), `SELECT count(), any(at), any(who), any(via), any(route), any(target), any(status), any(address), any(forwarded) FROM audit WHERE workspace = 'acme'`).
		Scan(&rows, &at, &who, &via, &route, &target, &status, &from, &forwarded); err != nil {
		t.Fatal(err)
	}
	if rows != 2 || !at.Equal(now) || who != "maya" || via != "openid" || route != "POST /clusters/{id}/decisions" || target != "/clusters/clu_1/decisions" || status != 303 ||
		from != "192.0.2.7" || !strings.HasPrefix(forwarded, "198.51.100.1, 9") || len(forwarded) > 300 || out.Len() > 0 {
		t.Errorf("%d rows: %v %s %s %s %s %d %s %s, logged %s", rows, at, who, via, route, target, status, from, forwarded, &out)
	}
}

func TestWhatCouldNotBeKeptIsLogged(t *testing.T) {
	t.Parallel()
	db := storetest.NewEmpty(t) // without the table
	var out bytes.Buffer
	audit.New(db, slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now }).
		Record(t.Context(), access.Principal{Workspace: "acme", Name: "maya"}, request(), http.StatusSeeOther)
	if got := out.String(); !strings.Contains(got, "who=maya") || !strings.Contains(got, "status=303") || strings.Contains(got, "words") || strings.Contains(got, "body") {
		t.Errorf("logged %q", got)
	}
}
