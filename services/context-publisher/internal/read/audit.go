package read

import (
	"context"
	"fmt"
	"time"
)

// Deed is one thing that somebody did, or tried to: a sign-in, a decision, or what only
// administrators may. Via is how they showed who they are (token, page, openid), Route the
// kind of request, Target the path asked for, Status what was answered, Address where the
// connection came from, and Forwarded what a proxy said of that, which anybody can claim
// where no proxy is.
type Deed struct {
	At        time.Time `json:"at"`
	ID        string    `json:"id"`
	Who       string    `json:"who"`
	Via       string    `json:"via"`
	Route     string    `json:"route"`
	Target    string    `json:"target"`
	Status    uint16    `json:"status"`
	Address   string    `json:"address"`
	Forwarded string    `json:"forwarded,omitempty"`
}

// Audit lists who did what, newest first.
func (r *Reader) Audit(ctx context.Context, ws string, limit int, after string) (Page[Deed], error) {
	limit = limited(limit)
	further, args, err := older("at", "id", after)
	if err != nil {
		return Page[Deed]{}, err
	}
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT at, id, who, via, route, target, status, address, forwarded
		FROM audit WHERE workspace = ?%s ORDER BY workspace DESC, at DESC, id DESC LIMIT %d`, further, limit+1), append([]any{ws}, args...)...)
	if err != nil {
		return Page[Deed]{}, failed("list audit log", err)
	}
	defer rows.Close()
	deeds := []Deed{}
	for rows.Next() {
		var d Deed
		if err := rows.Scan(&d.At, &d.ID, &d.Who, &d.Via, &d.Route, &d.Target, &d.Status, &d.Address, &d.Forwarded); err != nil {
			return Page[Deed]{}, failed("read audit log", err)
		}
		d.At = d.At.UTC()
		deeds = append(deeds, d)
	}
	if err := rows.Err(); err != nil {
		return Page[Deed]{}, failed("list audit log", err)
	}
	return page(deeds, limit, func(d Deed) (time.Time, string) { return d.At, d.ID }), nil
}
