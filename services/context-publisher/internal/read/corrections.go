package read

import (
	"context"
	"database/sql"
	"errors"
)

// Corrections says how a workspace's own head does on corrections of kinds that it was not
// shown, five parts of them in turn.
type Corrections struct {
	Corrections  uint32 `json:"corrections"`
	ShippedRight uint32 `json:"shipped_right"` // that the shipped head had right
	OwnRight     uint32 `json:"own_right"`     // that the workspace's head has right
	// Chance is that of a difference as great by luck (sign test, one-sided): 1 where there
	// are no corrections.
	Chance float64 `json:"chance"`
	Used   bool    `json:"used"` // the workspace's head speaks
}

// Corrections reads how the workspace's own head did when it was made last.
func (r *Reader) Corrections(ctx context.Context, ws string) (Corrections, error) {
	c := Corrections{Chance: 1}
	var used uint8
	err := r.db.Conn().QueryRow(ctx, `SELECT corrections, shipped_right, own_right, chance, used FROM own_heads FINAL
		WHERE workspace = ? ORDER BY version DESC LIMIT 1`, ws).Scan(&c.Corrections, &c.ShippedRight, &c.OwnRight, &c.Chance, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return Corrections{}, failed("read corrections", err)
	}
	c.Used = used == 1
	return c, nil
}
