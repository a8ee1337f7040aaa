package vendortest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ZendeskComment is a comment of a ticket. AuthorID names one of the users.
type ZendeskComment struct {
	ID        int64     `json:"id"`
	AuthorID  int64     `json:"author_id"`
	Body      string    `json:"body"`
	Public    bool      `json:"public"`
	CreatedAt time.Time `json:"created_at"`
}

// ZendeskUser is a person; Role is end-user, agent or admin.
type ZendeskUser struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
}

// ZendeskTicket is a ticket as stored; Status is deleted for one that was.
type ZendeskTicket struct {
	ID        int64
	Status    string
	UpdatedAt time.Time
	Comments  []ZendeskComment
}

// Zendesk stands in for Zendesk's API as far as history is read: the incremental export
// by cursor, deleted tickets included and the last of a page again on the next, and the
// comments of a ticket with their authors.
type Zendesk struct {
	*Server
	email, token string
	per          int
	mu           sync.Mutex
	tickets      []ZendeskTicket
	users        []ZendeskUser
}

// NewZendesk makes an account that accepts one address with one API token and exports per
// tickets a page.
func NewZendesk(email, token string, per int) *Zendesk {
	z := &Zendesk{email: email, token: token, per: per}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/incremental/tickets/cursor.json", z.export)
	mux.HandleFunc("GET /api/v2/tickets/{id}/comments.json", z.comments)
	z.Server = &Server{routes: mux, written: func() []Written { return []Written{} }}
	return z
}

// AddUser adds a person.
func (z *Zendesk) AddUser(u ZendeskUser) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.users = append(z.users, u)
}

// AddTicket adds a ticket, after those that are there.
func (z *Zendesk) AddTicket(t ZendeskTicket) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.tickets = append(z.tickets, t)
}

func (z *Zendesk) allowed(w http.ResponseWriter, r *http.Request) bool {
	if user, password, ok := r.BasicAuth(); ok && user == z.email+"/token" && password == z.token {
		return true
	}
	writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "Couldn't authenticate you"})
	return false
}

func (z *Zendesk) export(w http.ResponseWriter, r *http.Request) {
	if !z.allowed(w, r) {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	start, ticket := r.URL.Query().Get("start_time"), 0
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		from, at, _ := strings.Cut(cursor, "-")
		start = from
		ticket, _ = strconv.Atoi(at)
	}
	since, err := strconv.ParseInt(start, 10, 64)
	if err != nil {
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"error": "InvalidValue", "description": "Invalid start_time"})
		return
	}
	found := slices.DeleteFunc(slices.Clone(z.tickets), func(t ZendeskTicket) bool { return t.UpdatedAt.Unix() < since })
	end := min(len(found), ticket+z.per)
	page := []any{}
	for _, t := range found[max(0, ticket-1):end] {
		page = append(page, map[string]any{"id": t.ID, "status": t.Status, "updated_at": t.UpdatedAt.UTC().Format(time.RFC3339)})
	}
	writeJSON(w, http.StatusOK, map[string]any{"tickets": page, "after_cursor": start + "-" + strconv.Itoa(end), "end_of_stream": end == len(found)})
}

func (z *Zendesk) comments(w http.ResponseWriter, r *http.Request) {
	if !z.allowed(w, r) {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, t := range z.tickets {
		if strconv.FormatInt(t.ID, 10) == r.PathValue("id") {
			writeJSON(w, http.StatusOK, map[string]any{"comments": t.Comments, "users": z.users, "meta": map[string]any{"has_more": false}, "links": map[string]any{}})
			return
		}
	}
	writeJSON(w, http.StatusNotFound, map[string]any{"error": "RecordNotFound"})
}

// ZendeskLimited is Zendesk's answer to too many requests.
func ZendeskLimited(after time.Duration) Fault {
	return Fault{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": seconds(after)}, Body: "Number of allowed incremental ticket export API requests per minute exceeded"}
}
