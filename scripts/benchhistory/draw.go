package main

import (
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The plot's measures, in pixels.
const (
	width, rowHeight = 860, 74
	left, right, top = 330, 90, 56
)

const style = `
  svg { background: #fff; font: 12px system-ui, sans-serif }
  text { fill: #24292f } .quiet { fill: #57606a } .axis { stroke: #d0d7de }
  .refs { stroke: #0969da; fill: #0969da } .allocs { stroke: #bc4c00; fill: #bc4c00 }
  polyline { fill: none !important; stroke-width: 2 } text.refs, text.allocs { stroke: none }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #8b949e } .axis { stroke: #30363d }
    .refs { stroke: #58a6ff; fill: #58a6ff } .allocs { stroke: #f0883e; fill: #f0883e }
  }`

// Draw is the history as an SVG, a row for each benchmark that has a gate, light or dark as its
// reader prefers: each gate relative to its first record, from half to twice.
func Draw(all []Record) string {
	names := map[string]bool{}
	for _, r := range all {
		for name, units := range r.Benchmarks {
			_, allocations := units[Allocations]
			_, refs := units[Refs]
			names[name] = names[name] || allocations && refs
		}
	}
	maps.DeleteFunc(names, func(_ string, gated bool) bool { return !gated })
	rows := slices.Sorted(maps.Keys(names))
	var b strings.Builder
	height := top + rowHeight*len(rows) + 20
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="What each benchmark costs, commit by commit">`, width, height, width, height)
	fmt.Fprintf(&b, "<style>%s</style>\n", style)
	fmt.Fprintf(&b, `<text x="16" y="24" font-weight="600">What it costs, relative to the first record</text><text x="16" y="42" class="quiet">%s</text>`, escape(span(all)))
	fmt.Fprintf(&b, `<text class="refs" x="%d" y="24">● processor time of an item</text><text class="allocs" x="%d" y="42">● allocations of an operation</text>`+"\n", left, left)
	for i, name := range rows {
		y := top + i*rowHeight
		pkg, benchmark, _ := strings.Cut(name, " ")
		fmt.Fprintf(&b, `<text x="16" y="%d">%s</text><text class="quiet" x="16" y="%d">%s</text><line class="axis" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n",
			y+24, escape(benchmark), y+40, escape(pkg), left, y+rowHeight/2, width-right, y+rowHeight/2)
		for _, line := range []struct{ unit, class string }{{Refs, "refs"}, {Allocations, "allocs"}} {
			series(&b, all, name, line.unit, line.class, y)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// series draws one gate of one benchmark into the row at y.
func series(b *strings.Builder, all []Record, name, unit, class string, y int) {
	var points []string
	first, last, x := 0.0, 0.0, 0.0
	for i, r := range all {
		figure, ok := r.Benchmarks[name][unit]
		value := figure.Median
		if !ok {
			continue
		}
		if len(points) == 0 {
			first = max(value, 1e-9)
		}
		last = value
		x = left + float64((width-left-right)*i)/float64(max(1, len(all)-1))
		relative := min(max(value/first, 0.5), 2)
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, float64(y)+rowHeight*(0.5-0.4*(relative-1))))
	}
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(b, `<polyline class="%s" points="%s"/>`, class, strings.Join(points, " "))
	end := points[len(points)-1]
	cx, cy, _ := strings.Cut(end, ",")
	offset := 0
	if class == "allocs" {
		offset = 14
	}
	fmt.Fprintf(b, `<circle class="%s" cx="%s" cy="%s" r="3"/><text class="%s" x="%d" y="%d">%.4g</text>`+"\n", class, cx, cy, class, width-right+12, y+rowHeight/2-2+offset, last)
}

func span(all []Record) string {
	if len(all) == 0 {
		return "no record yet"
	}
	return fmt.Sprintf("%d records, %s to %s", len(all), all[0].At.Format("2006-01-02"), all[len(all)-1].At.Format("2006-01-02"))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
