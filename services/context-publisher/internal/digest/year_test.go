package digest_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/bus/bustest"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/vendortest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/mailpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/slackpost"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
)

// year is a year of three workspaces, lived through with a clock that the test moves.
type year struct {
	t          *testing.T
	now        time.Time
	workspaces []config.Workspace
	kept       map[string]map[string]digest.Day // by workspace and date
	made       map[string]time.Time             // when a workspace's digest was first asked for
	seen       map[string]int                   // messages by destination and date
}

// keep is the desk: it checks that a day is asked for in time and follows the day before it.
func (y *year) keep(_ context.Context, ws string, day digest.Day) (digest.Digest, error) {
	if y.now.Before(day.Until) {
		y.t.Errorf("%s is asked for %s at %s, before it is over", ws, day.Date, y.now)
	}
	if y.kept[ws] == nil {
		y.kept[ws] = map[string]digest.Day{}
	}
	y.kept[ws][day.Date] = day
	if _, known := y.made[ws+day.Date]; !known {
		y.made[ws+day.Date] = y.now
	}
	return digest.Digest{Workspace: ws, Date: day.Date, Since: day.Since, Until: day.Until, Items: 3, Voices: 2, GeneratedAt: day.Until}, nil
}

// A year in three time zones with both changes of the clock, at an hour that is skipped and
// comes twice, at one that half an hour is put before, and at breakfast; thirty restarts, a
// process that is off over a change of the clock, a Slack that is away for a day, that takes
// messages and whose answers get lost, and a mail server that is full for an afternoon: each
// destination has exactly one message for each day.
func TestAYearOfDigests(t *testing.T) {
	t.Parallel()
	slack := vendortest.NewSlack(vendortest.SlackOptions{BotToken: "xoxb-1"})
	base, err := slack.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slack.Close() })
	mails, err := vendortest.NewMailServer(vendortest.MailOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mails.Close() })
	y := &year{t: t, kept: map[string]map[string]digest.Day{}, made: map[string]time.Time{}, seen: map[string]int{}}
	for _, w := range [][3]string{{"berlin", "Europe/Berlin", "02:30"}, {"york", "America/New_York", "07:30"}, {"howe", "Australia/Lord_Howe", "00:00"}} {
		slack.AddChannel("C"+w[0], w[0])
		y.workspaces = append(y.workspaces, config.Workspace{ID: w[0], Timezone: w[1], Digest: config.Digest{At: w[2], To: []config.Destination{
			{Slack: &config.SlackDestination{Connection: "slack", Channel: "C" + w[0]}}, {Email: w[0] + "@acme.example"}}}})
	}
	b := bustest.New(t)
	start := func() *digest.Scheduler {
		poster, err := slackpost.New(slackpost.Config{BaseURL: base, BotToken: "xoxb-1"}, tracker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		mail, err := mailpost.New(mailpost.Config{Addr: mails.Addr(), From: "digest@throughline.example", TLS: "none"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := digest.NewScheduler(t.Context(), digest.Options{Bus: b, Keep: y.keep, Workspaces: y.workspaces, Slack: map[string]*slackpost.Poster{"slack": poster}, Mail: mail,
			Holder: "year", Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return y.now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	end := begin.AddDate(1, 0, 0)
	random := rand.New(rand.NewPCG(11, 7))
	restarts := map[int]bool{}
	for len(restarts) < 30 {
		restarts[random.IntN(360)] = true
	}
	at := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 0, 0, 0, time.UTC)
	}
	slackAway, slackBack := at(time.May, 12, 3), at(time.May, 13, 3)
	mailFull, mailFree := at(time.July, 3, 6), at(time.July, 3, 19)
	off, on := at(time.March, 28, 10), at(time.March, 30, 9)
	lost := at(time.September, 9, 0)
	s, round := start(), &digest.Round{}
	last := -1
	for y.now = begin; y.now.Before(end); y.now = y.now.Add(time.Duration(10+random.IntN(40)) * time.Minute) {
		if !y.now.Before(off) && y.now.Before(on) {
			y.now = on
		}
		if day := int(y.now.Sub(begin).Hours() / 24); day != last {
			last = day
			if restarts[day] {
				s, round = start(), &digest.Round{}
			}
			y.count(slack, mails)
		}
		slack.Heal()
		if !y.now.Before(slackAway) && y.now.Before(slackBack) {
			slack.FailNext(1<<20, vendortest.Unavailable())
		}
		mails.Refuse("RCPT", 0)
		if !y.now.Before(mailFull) && y.now.Before(mailFree) {
			mails.Refuse("RCPT", 452)
		}
		if y.now.After(lost) && y.now.Before(lost.AddDate(0, 0, 5)) {
			slack.LoseAnswers(1, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "chat.postMessage") })
		}
		for _, w := range y.workspaces {
			s.Look(t.Context(), w, round)
		}
	}
	y.count(slack, mails)
	y.check(begin, end, off, on)
}

// count takes the messages out of their places and counts them.
func (y *year) count(slack *vendortest.Slack, mails *vendortest.MailServer) {
	for _, w := range y.workspaces {
		channel := "C" + w.ID
		messages := slack.Messages(channel)
		for _, m := range messages[:max(0, len(messages)-10)] {
			_, date, _ := strings.Cut(strings.SplitN(m.Text, "\n", 2)[0], ", ")
			y.seen["slack "+w.ID+" "+date]++
			slack.DeleteMessage(channel, m.TS)
		}
	}
	for _, m := range mails.Take() {
		name, _, _ := strings.Cut(m.To, "@")
		_, date, _ := strings.Cut(m.Header.Get("Subject"), ", ")
		y.seen["mail "+name+" "+date]++
	}
}

func (y *year) check(begin, end, off, on time.Time) {
	y.t.Helper()
	days, late := 0, 0
	for _, w := range y.workspaces {
		zone := w.Location()
		var before digest.Day
		for date := begin.In(zone); date.Before(end.In(zone).AddDate(0, 0, -12)); date = date.AddDate(0, 0, 1) {
			name := date.Format(time.DateOnly)
			day, known := y.kept[w.ID][name]
			if !known {
				y.t.Errorf("%s has no digest of %s", w.ID, name)
				continue
			}
			days++
			for _, to := range []string{"slack ", "mail "} {
				if n := y.seen[to+w.ID+" "+name]; n != 1 {
					y.t.Errorf("%s%s has %d messages for %s", to, w.ID, n, name)
				}
			}
			if !before.Until.IsZero() && !day.Since.Equal(before.Until) {
				y.t.Errorf("%s: %s begins at %s, the day before ended at %s", w.ID, name, day.Since, before.Until)
			}
			before = day
			switch by := y.made[w.ID+name].Sub(day.Until); {
			case by > time.Hour && (day.Until.Before(off.Add(-time.Hour)) || day.Until.After(on)) && date.After(begin.In(zone).AddDate(0, 0, 1)):
				y.t.Errorf("%s: %s is %s late", w.ID, name, by)
			case by > time.Hour:
				late++
			}
		}
	}
	if days < 1050 || late < 3 {
		y.t.Errorf("only %d days, %d caught up", days, late)
	}
	y.t.Logf("%d days, %d caught up, %d messages", days, late, len(y.seen))
}
