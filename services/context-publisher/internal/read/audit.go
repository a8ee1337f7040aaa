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
	where, args := "workspace = ?", []any{ws}
	if after != "" {
		var at int64
		var id string
		if err := place(after, &at, &id); err != nil {
			return Page[Deed]{}, err
		}
		where += " AND (toUnixTimestamp64Micro(at), id) < (?, ?)"
		args = append(args, at, id)
	}
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT at, id, who, via, route, target, status, address, forwarded
		FROM audit WHERE %s ORDER BY workspace DESC, at DESC, id DESC LIMIT %d`, where, limit+1), args...)
	if err != nil {
		return Page[Deed]{}, failed("list audit log", err)
	}
	defer rows.Close()
	page := Page[Deed]{Items: []Deed{}}
	for rows.Next() {
		var d Deed
		if err := rows.Scan(&d.At, &d.ID, &d.Who, &d.Via, &d.Route, &d.Target, &d.Status, &d.Address, &d.Forwarded); err != nil {
			return Page[Deed]{}, failed("read audit log", err)
		}
		d.At = d.At.UTC()
		page.Items = append(page.Items, d)
	}
	if err := rows.Err(); err != nil {
		return Page[Deed]{}, failed("list audit log", err)
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := page.Items[limit-1]
		page.NextCursor = cursor(last.At.UnixMicro(), last.ID)
	}
	return page, nil
}
