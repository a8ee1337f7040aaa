// Package doctor looks at everything that an installation needs and says what is wrong and
// what to do about it: configuration and secrets, files, disk, address, broker, store, model
// and engine, vendors' tokens, the clock, and the way in through a proxy.
//
// It promises to change nothing and to leave nothing behind, to say in every finding what to
// do, and to repeat no secret. It refuses to guess: what cannot be looked at from here is
// left out.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/schemas"
)

// Check is one finding. Found is what is there, or what is wrong; Remedy says what to do
// where it is not OK.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Doctor is where and how to look. Make one with New.
type Doctor struct {
	Path   string // of the configuration; "" for none
	Data   string // instead of the configured folder; "" to keep it
	Listen string // instead of the configured address; "" to keep it
	Engine string // path of the engine's library; "" where it is usually found
	Client *http.Client
	Now    func() time.Time
	Space  func(dir string) (size, free int64, err error)

	config config.Config
	checks []Check
	clocks []clock
}

// clock is how far somebody else's clock is ahead of ours.
type clock struct {
	who   string
	ahead time.Duration
}

// New makes a doctor that looks at the real world.
func New(path string) *Doctor {
	return &Doctor{Path: path, Client: &http.Client{Timeout: 5 * time.Second}, Now: time.Now, Space: broker.Space}
}

// Examine looks at everything, which takes a few seconds, and tells what it found in the
// order in which it is best mended.
func (d *Doctor) Examine(ctx context.Context) []Check {
	if !d.configuration() {
		return d.checks
	}
	d.workspaces()
	d.files()
	d.address(ctx)
	d.models()
	d.broker(ctx)
	d.store(ctx)
	d.vendors(ctx)
	d.clock()
	return d.checks
}

func (d *Doctor) add(name, found string, err error, remedy string) {
	c := Check{Name: name, OK: err == nil, Found: found}
	if err != nil {
		c.Found, c.Remedy = err.Error(), remedy
	}
	d.checks = append(d.checks, c)
}

func (d *Doctor) configuration() bool {
	c, err := config.Load(d.Path)
	remedy := "mend what is named; `throughline config print` then shows what is in force"
	switch {
	case err == nil:
	case errors.Is(err, config.ErrNoVariable):
		remedy = "set the variable where the process is started: EnvironmentFile of systemd, environment of compose, the Secret of the chart"
	case errors.Is(err, config.ErrNoSecretFile):
		remedy = "put the secret into that file, readable by the user who runs Throughline and by nobody else"
	}
	d.add("configuration", "valid", err, remedy)
	if d.Data != "" {
		c.Data = d.Data
	}
	if d.Listen != "" {
		c.Listen = d.Listen
	}
	d.config = c
	return err == nil
}

func (d *Doctor) workspaces() {
	var none error
	if len(d.config.Workspaces) == 0 {
		none = errors.New("none is configured")
	}
	d.add("workspaces", fmt.Sprint(len(d.config.Workspaces)), none, "add one to the configuration, as in README.md")
	for _, w := range d.config.Workspaces {
		for _, k := range w.Connections {
			var err error
			if len(k.Secrets()) == 0 {
				err = fmt.Errorf("%s (%s) has no secret for webhooks, so every delivery is refused", k.ID, k.Type)
			}
			d.add("connection", k.ID+" ("+k.Type+")", err, "set the secret that its vendor shows; deploy/guides/connecting.md says where")
		}
	}
}

// files looks at who may read and write what others must not, and at the disk.
func (d *Doctor) files() {
	private := func(path string, forbidden fs.FileMode, remedy string) {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return // whoever needs it complains
		case err == nil && info.Mode().Perm()&forbidden != 0:
			err = fmt.Errorf("%s has the mode %04o", path, info.Mode().Perm())
		}
		d.add("permissions", path, err, remedy)
	}
	if d.Path != "" {
		private(d.Path, 0o022, "take the right to write from others: chmod go-w "+d.Path)
	}
	for _, path := range d.config.SecretFiles() {
		private(path, 0o026, "take it from others: chmod 600 "+path)
	}
	if d.config.ClickHouse.Mode != "embedded" && d.config.NATS.Mode != "embedded" {
		return
	}
	data := d.config.Data
	private(data, 0o007, "it holds customers' words; take it from others: chmod 700 "+data)
	d.add("data folder", data, writable(data), "make it writable for this user, or choose another with data:")
	d.disk(data)
}

// writable tries to write a file into a folder, or into the one that it would be made in.
func writable(dir string) error {
	f, err := os.CreateTemp(nearest(dir), ".doctor-")
	if err != nil {
		return fmt.Errorf("write into the folder: %w", err)
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

// nearest is the folder itself or the first above it that exists.
func nearest(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return dir
		}
		dir = parent
	}
}

func (d *Doctor) disk(dir string) {
	size, free, err := d.Space(nearest(dir))
	reserve := broker.DefaultReserve()
	need := 2 * max(reserve.Bytes, int64(reserve.Fraction*float64(size)))
	if err == nil && free < need {
		err = fmt.Errorf("%d MB are free of %d MB, and deliveries are refused below %d MB", free>>20, size>>20, need>>21)
	}
	d.add("disk", fmt.Sprintf("%d MB are free", free>>20), err, "free some space or move data: to a larger disk; deploy/guides/runbook.md says under ThroughlineDiskNearlyFull what grows")
}

func (d *Doctor) models() {
	_, err := process.Embedder(d.config.Models)
	d.add("model", d.config.Models.Embeddings.Provider, err, "install it anew with `make models`, name its folder in models.dir, or choose another models.embeddings.provider")
	if d.config.ClickHouse.Mode != "embedded" {
		return
	}
	path, err := engine.FindLibrary(d.Engine)
	found := filepath.Base(path)
	if err == nil {
		version, known := engine.LibraryVersionAt(path)
		if found += " " + version; known && version != engine.LibraryVersion {
			err = fmt.Errorf("%s is version %s, and this build was tested with %s", path, version, engine.LibraryVersion)
		}
	}
	d.add("engine", strings.TrimSpace(found), err, "install it anew with `make engine`, or name a ClickHouse of your own in clickhouse.addr")
}

func (d *Doctor) broker(ctx context.Context) {
	if d.config.NATS.Mode == "embedded" {
		return
	}
	nc, err := process.DialNATS(d.config.NATS, slog.New(slog.DiscardHandler))
	if err != nil {
		d.add("broker", "", err, "start NATS, and check nats.url, nats.credentials and what is between")
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	d.add("broker", "NATS "+nc.ConnectedServerVersion()+" with JetStream", err, "turn JetStream on for this account: `jetstream {}` in the server's configuration, limits on the account")
}

func (d *Doctor) store(ctx context.Context) {
	if d.config.ClickHouse.Mode == "embedded" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var db *store.DB
	o, err := process.StoreOptions(d.config.ClickHouse)
	if err == nil {
		db, err = store.Open(ctx, o)
	}
	if err != nil {
		d.add("store", "", err, "start ClickHouse, and check clickhouse.addr, user, password and what is between")
		return
	}
	defer db.Close()
	var version string
	var now time.Time
	before := d.Now()
	err = db.Conn().QueryRow(ctx, "SELECT version(), now64(3)").Scan(&version, &now)
	d.add("store", "ClickHouse "+version, err, "look at ClickHouse's log")
	if err != nil {
		return
	}
	d.clocks = append(d.clocks, clock{"ClickHouse", now.Sub(before)})
	d.schema(ctx, db)
}

func (d *Doctor) schema(ctx context.Context, db *store.DB) {
	files, err := fs.Sub(schemas.ClickHouse, "clickhouse")
	var s store.Standing
	if err == nil {
		s, err = db.Standing(ctx, files)
	}
	remedy := "look at ClickHouse's log"
	switch {
	case err != nil:
	case len(s.Changed) > 0:
		err = fmt.Errorf("%s was applied with another content", strings.Join(s.Changed, ", "))
		remedy = "this build is not the one that made the tables: use the one that did, or restore the backup that belongs to this build"
	case len(s.Missing) > 0:
		err = fmt.Errorf("%d migrations are not applied, the first is %s", len(s.Missing), s.Missing[0])
		remedy = "run `throughline migrate`; every service does the same when it starts"
	case len(s.Newer) > 0:
		err = fmt.Errorf("%s is of a newer build", strings.Join(s.Newer, ", "))
		remedy = "run the newer build: an older one may misread its tables (deploy/guides/upgrading.md)"
	}
	d.add("schema", "up to date", err, remedy)
}

// tolerance is how far clocks may be apart: vendors' signatures are refused from five
// minutes on, and what is late by a minute is found too late.
const tolerance = time.Minute

func (d *Doctor) clock() {
	if len(d.clocks) == 0 {
		d.add("clock", d.Now().Format(time.RFC3339)+", and nothing was asked that has another", nil, "")
		return
	}
	var wrong []error
	for _, c := range d.clocks {
		if c.ahead.Abs() > tolerance {
			wrong = append(wrong, fmt.Errorf("the clock of %s is %s from ours", c.who, c.ahead.Round(time.Second)))
		}
	}
	// One that is off is their fault; all of them is ours.
	err := errors.Join(wrong...)
	remedy := "set the clock by NTP, there or here: webhooks are refused when it is wrong by five minutes"
	d.add("clock", fmt.Sprintf("agrees with %d others", len(d.clocks)), err, remedy)
}
