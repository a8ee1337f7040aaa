package vendortest

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// IntercomAuthor is who wrote a part: a user, a lead, an admin or a bot.
type IntercomAuthor struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// IntercomPart is the opening message of a conversation, or what came after it. Times are
// in Unix seconds; Body is HTML.
type IntercomPart struct {
	ID        string         `json:"id"`
	PartType  string         `json:"part_type,omitempty"`
	Body      string         `json:"body"`
	Author    IntercomAuthor `json:"author"`
	CreatedAt int64          `json:"created_at"`
	UpdatedAt int64          `json:"updated_at"`
	Redacted  bool           `json:"redacted"`
}

// IntercomConversation is a conversation as stored.
type IntercomConversation struct {
	ID        string
	Source    IntercomPart
	Parts     []IntercomPart
	UpdatedAt int64
}

// Intercom stands in for Intercom's API as far as history is read: who am I, search of
// conversations by when they changed (150 a page at most, a cursor, the last of a page
// again on the next, as happens when conversations change meanwhile), and one conversation
// with its parts.
type Intercom struct {
	*Server
	token, app string
	mu         sync.Mutex
	all        []IntercomConversation
}

// NewIntercom makes a workspace with the id app, which accepts one token.
func NewIntercom(token, app string) *Intercom {
	i := &Intercom{token: token, app: app}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", i.me)
	mux.HandleFunc("POST /conversations/search", i.search)
	mux.HandleFunc("GET /conversations/{id}", i.show)
	i.Server = &Server{routes: mux, written: func() []Written { return []Written{} }}
	return i
}

// AddConversation adds a conversation, after those that are there.
func (i *Intercom) AddConversation(c IntercomConversation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, c)
}

func (i *Intercom) allowed(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Authorization") == "Bearer "+i.token {
		return true
	}
	writeJSON(w, http.StatusUnauthorized, map[string]any{"type": "error.list", "errors": []any{map[string]any{"code": "unauthorized", "message": "Access Token Invalid"}}})
	return false
}

func (i *Intercom) me(w http.ResponseWriter, r *http.Request) {
	if i.allowed(w, r) {
		writeJSON(w, http.StatusOK, map[string]any{"type": "admin", "id": "1", "app": map[string]any{"type": "app", "id_code": i.app}})
	}
}

func (i *Intercom) search(w http.ResponseWriter, r *http.Request) {
	if !i.allowed(w, r) {
		return
	}
	var in struct {
		Query struct {
			Field    string `json:"field"`
			Operator string `json:"operator"`
			Value    int64  `json:"value"`
		} `json:"query"`
		Pagination struct {
			PerPage       int    `json:"per_page"`
			StartingAfter string `json:"starting_after"`
		} `json:"pagination"`
	}
	if err := readJSON(r, &in); err != nil || in.Query.Field != "updated_at" || in.Query.Operator != ">" {
		writeJSON(w, http.StatusBadRequest, map[string]any{"type": "error.list", "errors": []any{map[string]any{"code": "parameter_invalid"}}})
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(i.all), func(c IntercomConversation) bool { return c.UpdatedAt <= in.Query.Value })
	per := in.Pagination.PerPage
	if per < 1 {
		per = 20
	}
	start, _ := strconv.Atoi(in.Pagination.StartingAfter)
	end := min(len(found), start+min(per, 150))
	page := []any{}
	for k := max(0, start-1); k < end; k++ {
		page = append(page, map[string]any{"type": "conversation", "id": found[k].ID, "updated_at": found[k].UpdatedAt})
	}
	pages := map[string]any{"type": "pages", "per_page": per}
	if end < len(found) {
		pages["next"] = map[string]any{"starting_after": strconv.Itoa(end)}
	}
	writeJSON(w, http.StatusOK, map[string]any{"type": "conversation.list", "conversations": page, "pages": pages, "total_count": len(found)})
}

func (i *Intercom) show(w http.ResponseWriter, r *http.Request) {
	if !i.allowed(w, r) {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.all {
		if c.ID == r.PathValue("id") {
			writeJSON(w, http.StatusOK, map[string]any{
				"type": "conversation", "id": c.ID, "created_at": c.Source.CreatedAt, "updated_at": c.UpdatedAt, "source": c.Source,
				"conversation_parts": map[string]any{"type": "conversation_part.list", "conversation_parts": c.Parts, "total_count": len(c.Parts)},
			})
			return
		}
	}
	writeJSON(w, http.StatusNotFound, map[string]any{"type": "error.list", "errors": []any{map[string]any{"code": "not_found"}}})
}

// IntercomLimited is Intercom's answer to too many requests.
func IntercomLimited(after time.Duration) Fault {
	return Fault{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": seconds(after)}, Body: `{"type":"error.list","errors":[{"code":"rate_limit_exceeded"}]}`}
}
