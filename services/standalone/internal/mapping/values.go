package mapping

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var clocks = []string{"", " 15:04:05", " 15:04", " 3:04 PM", " 3:04:05 PM", ", 3:04 PM", ", 15:04", " 15:04:05 MST", " 15:04 MST", " 15:04:05 -0700", " 15:04:05.999999999"}

// layouts are dates in which no order of day and month has to be guessed.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04Z07:00",
	time.RFC1123Z, time.RFC1123, time.RFC850, time.ANSIC, time.UnixDate,
}

var unambiguous = []string{"2006-01-02", "2006/01/02", "Jan 2, 2006", "January 2, 2006", "2 Jan 2006", "2 January 2006", "02-Jan-2006", "2-Jan-06", "Mon Jan 2 2006", "2.1.2006", "2.1.06"}

var (
	monthFirst = []string{"1/2/2006", "1/2/06", "1-2-2006"}
	dayBefore  = []string{"2/1/2006", "2/1/06", "2-1-2006"}
)

// ParseTime reads a time as exports write it, in UTC where they name no zone: dates in
// words and numbers, with and without a clock, and Unix seconds or milliseconds. dayFirst
// says how 3/4/2026 is meant. What cannot be read is the zero time.
func ParseTime(s string, dayFirst bool) time.Time {
	s = strings.Join(strings.Fields(strings.NewReplacer("\u202f", " ", "\u00a0", " ", " at ", " ", " um ", " ").Replace(s)), " ")
	if s == "" {
		return time.Time{}
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case n > 1e17 || n < 1e8:
			return time.Time{}
		case n > 1e14:
			return time.UnixMicro(int64(n)).UTC()
		case n > 1e11:
			return time.UnixMilli(int64(n)).UTC()
		}
		return time.Unix(int64(n), 0).UTC()
	}
	for _, l := range layouts {
		if at, err := time.Parse(l, s); err == nil {
			return at.UTC()
		}
	}
	dates := append(append([]string{}, unambiguous...), monthFirst...)
	if dayFirst {
		dates = append(append([]string{}, unambiguous...), dayBefore...)
	}
	for _, d := range dates {
		for _, c := range clocks {
			if at, err := time.Parse(d+c, s); err == nil {
				return at.UTC()
			}
		}
	}
	return time.Time{}
}

var numeric = regexp.MustCompile(`^(\d{1,2})[/-](\d{1,2})[/-]\d{2,4}\b`)

// dayFirst looks for a date that can be read in one way only. Where there is none, the
// month is first.
func dayFirst(values []string) bool {
	first := 0
	for _, v := range values {
		m := numeric.FindStringSubmatch(strings.TrimSpace(v))
		if m == nil {
			continue
		}
		a, _ := strconv.Atoi(m[1])
		b, _ := strconv.Atoi(m[2])
		switch {
		case a > 12 && b <= 12:
			first++
		case b > 12 && a <= 12:
			first--
		}
	}
	return first > 0
}

var currencies = map[string]string{"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}

var amount = regexp.MustCompile(`([-+]?[\d.,' ]*\d)\s*([kKmM])?`)

// ParseAmount reads a sum of money, with its currency where it is named. ok is false for
// what is none.
func ParseAmount(s string) (value float64, currency string, ok bool) {
	for sign, code := range currencies {
		if strings.Contains(s, sign) {
			currency = code
		}
	}
	if code := regexp.MustCompile(`\b(USD|EUR|GBP|CHF|JPY|INR|CAD|AUD|SEK|NOK|DKK|PLN)\b`).FindString(strings.ToUpper(s)); code != "" {
		currency = code
	}
	m := amount.FindStringSubmatch(s)
	if m == nil {
		return 0, "", false
	}
	digits := strings.NewReplacer(" ", "", "'", "", "\u202f", "", "\u00a0", "").Replace(m[1])
	comma, dot := strings.LastIndex(digits, ","), strings.LastIndex(digits, ".")
	switch { // the last of the two is the decimal point, unless three digits follow
	case comma > dot && (len(digits)-comma-1 != 3 || dot >= 0):
		digits = strings.Replace(strings.ReplaceAll(digits, ".", ""), ",", ".", 1)
	case comma > dot:
		digits = strings.ReplaceAll(digits, ",", "")
	case strings.Count(digits, ".") > 1 || dot >= 0 && currency == "EUR" && len(digits)-dot-1 == 3:
		digits = strings.ReplaceAll(digits, ".", "")
	default:
		digits = strings.ReplaceAll(digits, ",", "")
	}
	value, err := strconv.ParseFloat(digits, 64)
	switch strings.ToLower(m[2]) {
	case "k":
		value *= 1e3
	case "m":
		value *= 1e6
	}
	return value, currency, err == nil && !math.IsInf(value, 0) && value >= 0
}
