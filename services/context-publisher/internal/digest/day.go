package digest

import (
	"fmt"
	"time"
)

// Day is one digest's day: the local date it is named for, the moment it is due, and the
// same hour of the day before.
type Day struct {
	Date  string
	Since time.Time
	Until time.Time
}

// ParseAt reads HH:MM.
func ParseAt(at string) (hour, minute int, err error) {
	t, err := time.Parse("15:04", at)
	if err != nil {
		return 0, 0, fmt.Errorf("read digest time: %q is not HH:MM", at)
	}
	return t.Hour(), t.Minute(), nil
}

// DayOf is the digest of a local date. An hour that the clocks skip that day is due when
// time.Date says, within an hour of it; one that comes twice is due once, because what is
// due is named by its date.
func DayOf(date time.Time, hour, minute int, loc *time.Location) Day {
	at := func(days int) time.Time {
		return time.Date(date.Year(), date.Month(), date.Day()+days, hour, minute, 0, 0, loc)
	}
	return Day{Date: date.Format(time.DateOnly), Since: at(-1), Until: at(0)}
}

// catchUp is for how many days a missed digest is still sent.
const catchUp = 7

// Due lists the days whose digest is due by now, oldest first: today's when its hour has
// come and, where an earlier one was sent (last, "" for never), those missed since, at
// most a week back.
func Due(now time.Time, hour, minute int, loc *time.Location, last string) []Day {
	today := now.In(loc)
	if last >= today.Format(time.DateOnly) {
		return nil
	}
	var out []Day
	for back := catchUp; back >= 0; back-- {
		date := time.Date(today.Year(), today.Month(), today.Day()-back, 12, 0, 0, 0, loc)
		day := DayOf(date, hour, minute, loc)
		if now.Before(day.Until) || day.Date <= last || last == "" && !now.Before(day.Until.AddDate(0, 0, 1)) {
			continue
		}
		out = append(out, day)
	}
	return out
}
