// Command inventory lists what ships: every module that is linked into a binary, as the binary
// itself says, Go's standard library, and the npm and Maven packages that make installs beside
// them. It writes a table of licences, and a bill of materials in CycloneDX's JSON.
//
//	inventory -bin bin -cache .cache -licences deploy/guides/licences.md -sbom throughline.cdx.json
//
// It fails on a licence that it cannot tell from its text: somebody has to read that one.
package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// component is one thing that ships.
type component struct {
	name, version, licence string
	purl                   string // package URL
	sum                    string // hexadecimal SHA-256 of a Go module's tree, "" where none is known
	in                     []string
}

func main() {
	bin := flag.String("bin", "bin", "folder of the binaries")
	cache := flag.String("cache", ".cache", "folder of what make installs")
	licences := flag.String("licences", "", "file to write the table of licences into")
	sbom := flag.String("sbom", "", "file to write the bill of materials into")
	flag.Parse()
	if err := run(*bin, *cache, *licences, *sbom); err != nil {
		fmt.Fprintln(os.Stderr, "inventory:", err)
		os.Exit(1)
	}
}

func run(bin, cache, licences, sbom string) error {
	all, err := linked(bin)
	if err != nil {
		return err
	}
	beside, err := installed(cache)
	if err != nil {
		return err
	}
	all = append(all, beside...)
	slices.SortFunc(all, func(a, b component) int { return cmp.Compare(a.purl, b.purl) })
	if licences != "" {
		if err := os.WriteFile(licences, []byte(table(all)), 0o644); err != nil {
			return err
		}
	}
	if sbom != "" {
		return writeSBOM(sbom, all)
	}
	return nil
}

// linked reads from each binary which modules are in it.
func linked(bin string) ([]component, error) {
	files, err := os.ReadDir(bin)
	if err != nil {
		return nil, err
	}
	found := map[string]*component{}
	goVersion := ""
	for _, f := range files {
		info, err := buildinfo.ReadFile(filepath.Join(bin, f.Name()))
		if err != nil {
			continue // no binary of Go
		}
		goVersion = info.GoVersion
		for _, m := range info.Deps {
			if m.Replace != nil || m.Version == "(devel)" || m.Sum == "" { // our own
				continue
			}
			c := found[m.Path]
			if c == nil {
				licence, err := licenceOfModule(m.Path, m.Version)
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
				}
				sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
				if err != nil {
					return nil, fmt.Errorf("%s: read its checksum: %w", m.Path, err)
				}
				c = &component{name: m.Path, version: m.Version, licence: licence, purl: "pkg:golang/" + m.Path + "@" + m.Version, sum: hex.EncodeToString(sum)}
				found[m.Path] = c
			}
			c.in = append(c.in, f.Name())
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no binary: run make build", bin)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(goVersion, "go"), " ")
	out := []component{{name: "Go, its standard library", version: version, licence: "BSD-3-Clause", purl: "pkg:golang/std@" + version}}
	for _, c := range found {
		out = append(out, *c)
	}
	return out, nil
}

// installed reads what npm and Maven have put below the cache and the binaries need.
func installed(cache string) ([]component, error) {
	var out []component
	manifests, err := filepath.Glob(filepath.Join(cache, "engine", "node_modules", "@chdb", "*", "package.json"))
	if err != nil {
		return nil, err
	}
	for _, f := range manifests {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var p struct{ Name, Version, License string }
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		out = append(out, component{name: p.Name, version: p.Version, licence: p.License, purl: "pkg:npm/" + strings.Replace(p.Name, "@", "%40", 1) + "@" + p.Version, in: []string{"beside throughline"}})
	}
	if len(out) == 0 {
		return nil, errors.New("the engine is not installed: run make engine")
	}
	b, err := os.ReadFile("scripts/models/fetch.sh")
	if err != nil {
		return nil, err
	}
	artifact := regexp.MustCompile(`(?m)^artifact=([^:\n]+):([^:\n]+):([^:\n]+)$`).FindSubmatch(b)
	if artifact == nil {
		return nil, errors.New("scripts/models/fetch.sh names no artifact")
	}
	group, name, version := string(artifact[1]), string(artifact[2]), string(artifact[3])
	return append(out, component{name: group + ":" + name, version: version, licence: "Apache-2.0 AND MIT", purl: "pkg:maven/" + group + "/" + name + "@" + version, in: []string{"beside throughline, classifier, context-publisher"}}), nil
}

// escaped is a module's path as the module cache spells it.
func escaped(path string) string {
	var b strings.Builder
	for _, r := range path {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func licenceOfModule(path, version string) (string, error) {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return "", fmt.Errorf("ask go for its module cache: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(escaped(path)+"@"+version))
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, f := range files {
		if f.IsDir() || !licenceFile.MatchString(f.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return "", err
		}
		for _, l := range licencesOf(string(b)) {
			if !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
	}
	if len(found) == 0 {
		return "", errors.New("its licence cannot be told from its text")
	}
	slices.Sort(found)
	return strings.Join(found, " AND "), nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)`)

// told are phrases that one licence has and, of those that occur, no other.
var told = []struct{ spdx, phrase string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose"},
	{"ISC", "permission to use, copy, modify, and distribute this software for any purpose"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"MPL-2.0", "mozilla public license, version 2.0"},
	{"CC0-1.0", "cc0 1.0 universal"},
	{"Unlicense", "this is free and unencumbered software released into the public domain"},
}

// licencesOf tells the licences that a text holds, by their SPDX names.
func licencesOf(text string) []string {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	var out []string
	for _, l := range told {
		if strings.Contains(text, l.phrase) && !slices.Contains(out, l.spdx) {
			out = append(out, l.spdx)
		}
	}
	if strings.Contains(text, "redistribution and use in source and binary forms") {
		if strings.Contains(text, "neither the name") || strings.Contains(text, "names of its contributors") || strings.Contains(text, "may not be used to endorse") {
			out = append(out, "BSD-3-Clause")
		} else {
			out = append(out, "BSD-2-Clause")
		}
	}
	return out
}

// table is the guide with every licence, made anew by make licences.
func table(all []component) string {
	var b strings.Builder
	b.WriteString("# Licences of what ships\n\nEvery module that is linked into a binary, and every package that is installed beside one, with the licence that its own text has. Throughline itself is under Apache-2.0 (`LICENSE`). Made by `make licences`; a test compares it with the code. What tests and tools use is in [dependencies.md](dependencies.md).\n\n")
	count := map[string]int{}
	for _, c := range all {
		count[c.licence]++
	}
	names := slices.SortedFunc(func(yield func(string) bool) {
		for l := range count {
			if !yield(l) {
				return
			}
		}
	}, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	b.WriteString("| licence | components |\n|---|---|\n")
	for _, l := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", l, count[l])
	}
	b.WriteString("\n| component | version | licence |\n|---|---|---|\n")
	for _, c := range all {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, c.version, c.licence)
	}
	return b.String()
}

func writeSBOM(path string, all []component) error {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		BOMRef: "throughline", Type: cdx.ComponentTypeApplication, Name: "throughline", Licenses: &cdx.Licenses{{Expression: "Apache-2.0"}},
	}}
	components, needs := []cdx.Component{}, []string{}
	for _, c := range all {
		one := cdx.Component{BOMRef: c.purl, Type: cdx.ComponentTypeLibrary, Name: c.name, Version: c.version, PackageURL: c.purl, Licenses: &cdx.Licenses{{Expression: c.licence}}, Scope: cdx.ScopeRequired}
		if c.sum != "" {
			// The hash of the module's tree, as go.sum has it, not of an archive.
			one.Properties = &[]cdx.Property{{Name: "go.sum:h1", Value: c.sum}}
		}
		for _, binary := range c.in {
			if one.Properties == nil {
				one.Properties = &[]cdx.Property{}
			}
			*one.Properties = append(*one.Properties, cdx.Property{Name: "throughline:in", Value: binary})
		}
		components, needs = append(components, one), append(needs, c.purl)
	}
	bom.Components, bom.Dependencies = &components, &[]cdx.Dependency{{Ref: "throughline", Dependencies: &needs}}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
