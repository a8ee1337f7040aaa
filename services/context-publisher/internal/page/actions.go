package page

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// form reads the posted form, which is bounded.
func form(req *request) (url.Values, error) {
	req.r.Body = http.MaxBytesReader(req.w, req.r.Body, maxForm)
	if err := req.r.ParseForm(); err != nil {
		return nil, invalid("The form could not be read.")
	}
	return req.r.PostForm, nil
}

func (p *Page) decide(req *request) error {
	f, err := form(req)
	if err != nil {
		return err
	}
	d := feedback.Decision{Action: feedback.Action(f.Get("action")), Cluster: req.r.PathValue("id"), Reason: strings.TrimSpace(f.Get("reason"))}
	switch d.Action {
	case feedback.Rename:
		if d.Name = strings.TrimSpace(f.Get("name")); d.Name == "" {
			return invalid("Give the cluster a name.")
		}
	case feedback.Merge:
		if d.Into = f.Get("into"); d.Into == "" {
			return invalid("Choose the cluster to merge into.")
		}
	case feedback.Split:
		if d.Signals = f["signal"]; len(d.Signals) == 0 {
			return invalid("Choose the quotes that mean something else.")
		}
	case feedback.Move:
		d.Signals, d.Into = f["signal"], f.Get("into")
		if len(d.Signals) == 0 || d.Into == "" {
			return invalid("Choose the quotes to move, and the cluster to move them to.")
		}
	case feedback.Mark:
		if d.Status = feedback.Status(f.Get("status")); !d.Status.Marks() {
			return invalid("Choose planned, in progress or shipped.")
		}
	case feedback.Ignore, feedback.Reopen:
	default:
		return invalid("There is no such decision.")
	}
	if _, err := req.workspace.Cluster(req.r.Context(), d.Cluster); err != nil {
		return err
	}
	return p.take(req, d)
}

// correct says what kind a signal is.
func (p *Page) correct(req *request) error {
	f, err := form(req)
	if err != nil {
		return err
	}
	d := feedback.Decision{Action: feedback.Correct, Signals: []string{req.r.PathValue("id")}, Kind: feedback.Kind(f.Get("kind"))}
	if !slices.Contains(feedback.Kinds, d.Kind) {
		return invalid("Choose what kind it is.")
	}
	return p.take(req, d)
}

func (p *Page) attach(req *request) error {
	f, err := form(req)
	if err != nil {
		return err
	}
	d := feedback.Decision{Action: feedback.Action(f.Get("action")), Cluster: f.Get("cluster"), Reason: strings.TrimSpace(f.Get("reason")),
		Tracker: feedback.Tracker(req.r.PathValue("tracker")), Ticket: req.r.PathValue("key")}
	if signal := f.Get("signal"); signal != "" {
		d.Signals = []string{signal}
	}
	if d.Action != feedback.Pin && d.Action != feedback.Reject || (d.Cluster == "") == (len(d.Signals) == 0) {
		return invalid("There is no such decision.")
	}
	if _, err := req.workspace.Ticket(req.r.Context(), d.Tracker, d.Ticket); err != nil {
		return err
	}
	return p.take(req, d)
}

// take has a decision taken and goes back to where it was asked for.
func (p *Page) take(req *request, d feedback.Decision) error {
	var b [16]byte
	if _, err := io.ReadFull(p.o.Random, b[:]); err != nil {
		return fmt.Errorf("draw the id of a decision: %w", err)
	}
	d.ID = feedback.ID("dec", req.who.Workspace, hex.EncodeToString(b[:]))
	d.Workspace, d.By, d.At = req.who.Workspace, req.who.Name, p.o.Now().UTC()
	taken, err := req.workspace.Decide(req.r.Context(), d)
	if err != nil {
		return err
	}
	back(req, taken.ID)
	return nil
}

func (p *Page) undo(req *request) error {
	if _, err := form(req); err != nil {
		return err
	}
	if _, err := req.workspace.Undo(req.r.Context(), req.r.PathValue("id"), req.who.Name, ""); err != nil {
		return err
	}
	back(req, "")
	return nil
}

// back goes to the page that the form named.
func back(req *request, decided string) {
	to := ours(req.r.PostForm.Get("back"))
	if decided != "" {
		sign := "?"
		if strings.Contains(to, "?") {
			sign = "&"
		}
		to += sign + "decided=" + decided
	}
	http.Redirect(req.w, req.r, to, http.StatusSeeOther)
}
