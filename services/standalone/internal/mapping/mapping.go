// Package mapping guesses which column of a table holds what, and makes of each row the
// feedback that POST /v1/feedback takes and the account that PUT /v1/accounts takes. It
// knows the exports of the usual tools by their columns; of others it goes by names, then
// by what the values look like. A guess is for a person to look at: each says why.
package mapping

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/throughline-dev/throughline/services/standalone/internal/table"
)

// Field is something that a column can hold.
type Field string

// The fields, in the order they are shown.
const (
	ID             Field = "id"
	Title          Field = "title"
	Text           Field = "text"
	AuthorID       Field = "author_id"
	AuthorName     Field = "author_name"
	AuthorEmail    Field = "author_email"
	AccountID      Field = "account_id"
	AccountName    Field = "account_name"
	AccountDomain  Field = "account_domain"
	AccountValue   Field = "account_value" // a year
	AccountMonthly Field = "account_monthly"
	AccountPlan    Field = "account_plan"
	AccountSegment Field = "account_segment"
	URL            Field = "url"
	CreatedAt      Field = "created_at"
)

// Fields lists all fields.
var Fields = []Field{ID, Title, Text, AuthorID, AuthorName, AuthorEmail, AccountID, AccountName, AccountDomain, AccountValue, AccountMonthly, AccountPlan, AccountSegment, URL, CreatedAt}

// Choice is the column for a field, and why it was chosen.
type Choice struct {
	Column string `json:"column"`
	Why    string `json:"why"`
}

// Mapping says which column holds which field.
type Mapping struct {
	Shape    string           `json:"shape"`     // the tool that wrote the export, or "unknown"
	DayFirst bool             `json:"day_first"` // whether 3/4/2026 is in April
	Columns  map[Field]Choice `json:"columns"`

	index map[Field]int
}

// names are what exports call the fields, in order of preference, as normal writes them.
var names = map[Field][]string{
	ID:             {"id", "external id", "ticket id", "conversation id", "review id", "post id", "note id", "feedback id", "response id", "uuid", "key"},
	Title:          {"title", "subject", "review title", "headline", "summary"},
	Text:           {"text", "body", "details", "description", "comment", "comments", "feedback", "message", "review", "review text", "content", "note", "notes", "response", "answer", "verbatim", "first message", "customer message", "what could we do better", "reason"},
	AuthorID:       {"author id", "user id", "customer id", "requester id", "contact id", "submitter id"},
	AuthorName:     {"author name", "user name", "customer name", "requester name", "contact name", "full name", "reviewer name", "reviewer", "author", "name", "customer", "user", "requester", "username", "nickname"},
	AuthorEmail:    {"author email", "user email", "customer email", "requester email", "contact email", "email", "e mail", "email address", "mail"},
	AccountID:      {"account id", "company id", "organization id", "organisation id", "org id"},
	AccountName:    {"account name", "company name", "organization name", "account", "company", "organization", "organisation", "requester organization"},
	AccountDomain:  {"company domain", "account domain", "domain", "website"},
	AccountValue:   {"arr", "annual revenue", "account value", "contract value", "acv", "annual spend", "yearly value"},
	AccountMonthly: {"mrr", "monthly spend", "monthly revenue", "company monthly spend"},
	AccountPlan:    {"plan", "company plan", "subscription plan", "pricing plan"},
	AccountSegment: {"segment", "company segment", "account segment", "customer segment", "tier"},
	URL:            {"url", "link", "permalink", "display url", "review link", "ticket url", "post url", "source url", "html url"},
	CreatedAt:      {"created at", "created", "date", "submitted at", "submitted on", "submitted", "requested", "timestamp", "time", "started at", "creation date", "posted at", "review date", "date created"},
}

// shape is a known export: what its columns must be among, and where its fields are.
type shape struct {
	name     string
	requires []string
	fields   map[Field]string
}

// shapes are tried in order. The columns are those of each tool's own export.
var shapes = []shape{
	{"google-play", []string{"package name", "star rating", "review text"}, map[Field]string{
		ID: "review link", Title: "review title", Text: "review text", URL: "review link", CreatedAt: "review submit millis since epoch"}},
	{"app-store", []string{"rating", "title", "review", "version"}, map[Field]string{
		Title: "title", Text: "review", AuthorName: "author", CreatedAt: "date"}},
	{"productboard", []string{"title", "content", "display url"}, map[Field]string{
		ID: "id", Title: "title", Text: "content", AuthorName: "user name", AuthorEmail: "user email", AccountName: "company name", AccountDomain: "company domain", URL: "display url", CreatedAt: "created at"}},
	{"canny", []string{"title", "details", "board", "status"}, map[Field]string{
		ID: "id", Title: "title", Text: "details", AuthorName: "author name", AuthorEmail: "author email", AccountName: "company name", AccountMonthly: "mrr", URL: "url", CreatedAt: "created"}},
	{"intercom", []string{"conversation id", "first message"}, map[Field]string{
		ID: "conversation id", Text: "first message", AuthorID: "user id", AuthorName: "user name", AuthorEmail: "user email", AccountName: "company name", CreatedAt: "conversation started at utc"}},
	{"zendesk", []string{"ticket id", "subject", "requester"}, map[Field]string{
		ID: "ticket id", Title: "subject", Text: "description", AuthorName: "requester", AuthorEmail: "requester email", AccountName: "organization", CreatedAt: "created at"}},
	{"zendesk-json", []string{"requester id", "comments"}, nil},
	{"intercom-json", []string{"conversation parts"}, nil},
}

// normal writes a column's name in lower-case words.
func normal(s string) string {
	var out strings.Builder
	space, lower := false, false
	for _, r := range s {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			space, lower = true, false
			continue
		case unicode.IsUpper(r) && lower: // createdAt
			space = true
		}
		if space && out.Len() > 0 {
			out.WriteByte(' ')
		}
		space, lower = false, unicode.IsLower(r)
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// Guess chooses columns by the kind of export, by name, and by what the sample holds.
// chosen are a person's choices, which stand: field to column, "" for none. It fails if a
// chosen field or column does not exist.
func Guess(t *table.Table, chosen map[string]string) (*Mapping, error) {
	m := &Mapping{Shape: "unknown", Columns: map[Field]Choice{}, index: map[Field]int{}}
	byName := map[string]string{}
	for _, c := range slices.Backward(t.Columns) {
		byName[normal(c)] = c
	}
	rawMembers := map[string]bool{}
	for _, row := range t.Sample[:min(len(t.Sample), 20)] {
		for _, member := range table.Members(row.JSON) {
			rawMembers[normal(member)] = true
		}
	}
	given, err := m.given(t, chosen)
	if err != nil {
		return nil, err
	}
	for _, s := range shapes {
		if slices.ContainsFunc(s.requires, func(r string) bool { return byName[r] == "" && !rawMembers[r] }) {
			continue
		}
		m.Shape = s.name
		for f, name := range s.fields {
			if column, ok := byName[name]; ok {
				m.choose(f, column, "export of "+s.name, given)
			}
		}
		break
	}
	for _, f := range Fields {
		if _, known := m.Columns[f]; known {
			continue
		}
		for _, name := range names[f] {
			if column, ok := byName[name]; ok && !m.uses(column) {
				m.choose(f, column, "by its name", given)
				break
			}
		}
	}
	m.guessByContent(t, given)
	if _, ok := m.Columns[Text]; !ok {
		if title, ok := m.Columns[Title]; ok && !given[Text] {
			m.Columns[Text] = Choice{title.Column, "the only words there are"}
			delete(m.Columns, Title)
		}
	}
	for f, c := range m.Columns {
		m.index[f] = slices.Index(t.Columns, c.Column)
	}
	m.DayFirst = dayFirst(m.values(t, CreatedAt))
	return m, nil
}

// given takes a person's choices.
func (m *Mapping) given(t *table.Table, chosen map[string]string) (map[Field]bool, error) {
	given := map[Field]bool{}
	for name, column := range chosen {
		f := Field(name)
		if !slices.Contains(Fields, f) {
			return nil, fmt.Errorf("there is no field %q; fields: %s", name, list(Fields))
		}
		given[f] = true
		if column == "" {
			continue
		}
		i := slices.IndexFunc(t.Columns, func(c string) bool { return strings.EqualFold(c, column) || normal(c) == normal(column) })
		if i < 0 {
			return nil, fmt.Errorf("there is no column %q; columns: %s", column, strings.Join(t.Columns, ", "))
		}
		m.Columns[f] = Choice{t.Columns[i], "as you said"}
	}
	return given, nil
}

func list(fields []Field) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = string(f)
	}
	return strings.Join(out, ", ")
}

func (m *Mapping) choose(f Field, column, why string, given map[Field]bool) {
	if !given[f] {
		m.Columns[f] = Choice{column, why}
	}
}

func (m *Mapping) uses(column string) bool {
	for _, c := range m.Columns {
		if c.Column == column {
			return true
		}
	}
	return false
}

// Whole reports an export whose rows hold whole conversations, which need no columns.
func (m *Mapping) Whole() bool { return strings.HasSuffix(m.Shape, "-json") }

// Has reports whether a field has a column.
func (m *Mapping) Has(f Field) bool { _, ok := m.Columns[f]; return ok }

// Unused lists the columns that no field is read from.
func (m *Mapping) Unused(columns []string) []string {
	return slices.DeleteFunc(slices.Clone(columns), m.uses)
}

var (
	addressLike = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	urlLike     = regexp.MustCompile(`^https?://\S+$`)
)

// guessByContent looks at the columns that are left: addresses, links, times, and the
// longest words.
func (m *Mapping) guessByContent(t *table.Table, given map[Field]bool) {
	share := func(i int, is func(string) bool) float64 {
		n, of := 0, 0
		for _, row := range t.Sample {
			if v := strings.TrimSpace(row.Values[i]); v != "" {
				of++
				if is(v) {
					n++
				}
			}
		}
		return float64(n) / float64(max(of, 1))
	}
	longest, words := 0.0, ""
	for i, column := range t.Columns {
		if m.uses(column) {
			continue
		}
		switch {
		case !m.Has(AuthorEmail) && share(i, addressLike.MatchString) > 0.8:
			m.choose(AuthorEmail, column, "its values are addresses", given)
		case !m.Has(URL) && share(i, urlLike.MatchString) > 0.8:
			m.choose(URL, column, "its values are links", given)
		case !m.Has(CreatedAt) && share(i, func(v string) bool {
			return !looksNumeric(v) && !(ParseTime(v, false).IsZero() && ParseTime(v, true).IsZero())
		}) > 0.8:
			m.choose(CreatedAt, column, "its values are times", given)
		default:
			length := 0
			for _, row := range t.Sample {
				if v := row.Values[i]; strings.Count(v, " ") > 1 {
					length += len(v)
				}
			}
			if mean := float64(length) / float64(len(t.Sample)); mean > longest {
				longest, words = mean, column
			}
		}
	}
	if !m.Has(Text) && longest > 15 {
		m.choose(Text, words, "it holds the longest words", given)
	}
}

func looksNumeric(s string) bool { return strings.Trim(s, "0123456789.,-") == "" }

func (m *Mapping) values(t *table.Table, f Field) []string {
	i, ok := m.index[f]
	if !ok || i < 0 {
		return nil
	}
	var out []string
	for _, row := range t.Sample {
		out = append(out, row.Values[i])
	}
	return out
}

// Lines describes the mapping, a field a line.
func (m *Mapping) Lines() []string {
	var out []string
	for _, f := range Fields {
		if c, ok := m.Columns[f]; ok {
			out = append(out, fmt.Sprintf("%-15s %q (%s)", f, c.Column, c.Why))
		}
	}
	return out
}

// Fingerprint names the mapping: the same columns for the same fields.
func (m *Mapping) Fingerprint() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s %t", m.Shape, m.DayFirst)
	for _, f := range slices.Sorted(maps.Keys(m.Columns)) {
		fmt.Fprintf(&out, " %s=%q", f, m.Columns[f].Column)
	}
	return out.String()
}
