package digest

import (
	"context"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/store"
)

// defaultAt is the hour of the day of workspaces that are sent no digest.
const defaultAt = "07:00"

// clock is when a workspace's days begin.
type clock struct {
	hour, minute int
	zone         *time.Location
}

func clockOf(w config.Workspace) (clock, error) {
	at := w.Digest.At
	if at == "" {
		at = defaultAt
	}
	hour, minute, err := ParseAt(at)
	return clock{hour, minute, w.Location()}, err
}

// Desk has the digests of workspaces: as they were sent, and the newest for the asking. It is
// safe for concurrent use.
type Desk struct {
	db     *store.DB
	clocks map[string]clock
	now    func() time.Time
}

// NewDesk makes a desk. It fails where a workspace's hour is not HH:MM.
func NewDesk(db *store.DB, workspaces []config.Workspace, now func() time.Time) (*Desk, error) {
	d := &Desk{db, map[string]clock{}, now}
	for _, w := range workspaces {
		c, err := clockOf(w)
		if err != nil {
			return nil, err
		}
		d.clocks[w.ID] = c
	}
	return d, nil
}

// Digest gives the digest of a local date, or, for the zero date, of the newest day that is
// over. One that was kept is given as it was kept; of the others only the newest is made,
// because ranks are those of now. found is false where there is none.
func (d *Desk) Digest(ctx context.Context, ws string, date time.Time) (out Digest, found bool, err error) {
	c, known := d.clocks[ws]
	if !known {
		return Digest{}, false, nil
	}
	now := d.now()
	local := now.In(c.zone)
	newest := DayOf(local, c.hour, c.minute, c.zone)
	if now.Before(newest.Until) {
		newest = DayOf(local.AddDate(0, 0, -1), c.hour, c.minute, c.zone)
	}
	day := newest
	if !date.IsZero() {
		day = DayOf(date, c.hour, c.minute, c.zone)
	}
	if out, found, err = Stored(ctx, d.db, ws, day.Date); err != nil || found || day.Date != newest.Date {
		return out, found, err
	}
	out, err = Build(ctx, d.db, ws, day, now)
	return out, err == nil, err
}

// Keep makes the digest of a day once: what was kept before is given again, so that every
// destination and every reader gets the same.
func (d *Desk) Keep(ctx context.Context, ws string, day Day) (Digest, error) {
	out, found, err := Stored(ctx, d.db, ws, day.Date)
	if err != nil || found {
		return out, err
	}
	if out, err = Build(ctx, d.db, ws, day, d.now()); err != nil {
		return out, err
	}
	return out, Keep(ctx, d.db, out)
}
