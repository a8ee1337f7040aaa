package name

import (
	"strings"
	"testing"
)

func TestNobodyIsInAName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, customer, account string }{
		{"Mara Lindqvist here, the CSV export stops", "", ""},
		{"Mara Lindqvist here from Nordhaven, the CSV export stops", "", ""},
		{"Hello, my name is Mara Lindqvist and the CSV export stops", "", ""},
		{"The CSV export stops.\n\nBest regards,\nMara Lindqvist", "", ""},
		{"The CSV export stops. - Mara", "", ""},
		{"Ich bin Mara Lindqvist von Nordhaven: CSV export stops", "", ""},
		{"here at Nordhaven the CSV export stops", "", ""},
		{"mara again: at NORDHAVEN LOGISTICS the CSV export stops, Lindqvist's team", "Mara Lindqvist", "Nordhaven Logistics"},
		{"Mara Mara Mara Lindqvist: CSV export stops", "Mara Lindqvist", ""},
	} {
		got := strings.ToLower(Anonymous(c.text, c.customer, c.account))
		for _, who := range []string{"mara", "lindqvist", "nordhaven"} {
			if strings.Contains(got, who) {
				t.Errorf("%q is still about %q: %q", c.text, who, got)
			}
		}
		if !strings.Contains(got, "csv export stops") {
			t.Errorf("%q lost what it is about: %q", c.text, got)
		}
	}
	for _, text := range []string{"The CSV export stops at 10,000 rows", "Dark mode from the settings page", "I am unable to sign in", "Import from Google Sheets stops",
		"Thanks, The CSV Export works", "This is Chrome on Windows", "Lists - Kanban and Gantt views"} {
		if got := Anonymous(text, "Bo Li", "Al"); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
