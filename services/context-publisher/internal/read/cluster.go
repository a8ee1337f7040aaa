package read

import (
	"context"
	"fmt"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// Similar is another cluster with how close it is: the cosine of the centroids, in [-1, 1].
type Similar struct {
	End
	Similarity float64
}

// Similar lists the clusters that are closest to one, closest first, of its space only.
func (r *Reader) Similar(ctx context.Context, ws, cluster string, limit int) ([]Similar, error) {
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`WITH (SELECT (space, centroid) FROM clusters FINAL WHERE workspace = ? AND id = ?) AS this
		SELECT id, name, voices, if(length(centroid) = 0, 0, 1 - cosineDistance(centroid, this.2)) AS alike
		FROM clusters FINAL WHERE workspace = ? AND id != ? AND retired = 0 AND status != 'ignored' AND space = this.1 AND length(centroid) = length(this.2)
		ORDER BY alike DESC, id LIMIT %d`, limited(limit)), ws, cluster, ws, cluster)
	if err != nil {
		return nil, failed("list similar clusters", err)
	}
	defer rows.Close()
	out := []Similar{}
	for rows.Next() {
		var s Similar
		if err := rows.Scan(&s.ID, &s.Name, &s.Voices, &s.Similarity); err != nil {
			return nil, failed("read similar cluster", err)
		}
		s.Name = brief.Clean(s.Name)
		out = append(out, s)
	}
	return out, failed("list similar clusters", rows.Err())
}

// Fact is a circumstance that a cluster's customers named: a platform, a version, a way
// around, or what they expected, with how many people named it and one item where it stands.
// Value is made of customers' words.
type Fact struct {
	Facet, Value, Item string
	Voices             uint64
}

// factsPerFacet is how many values of one facet are told: what more people name is told first.
const factsPerFacet = 4

// Facts lists the edge cases of a cluster by facet.
func (r *Reader) Facts(ctx context.Context, ws, cluster string) ([]Fact, error) {
	cluster, err := r.follow(ctx, ws, cluster)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Conn().Query(ctx, fmt.Sprintf(`SELECT fact.1 AS facet, fact.2 AS value, uniqExact(customer) AS voices, any(item)
		FROM (SELECT customer, item, arrayJoin([('platform', toString(platform)), ('version', app_version), ('workaround', workaround), ('expected', expected), ('job', job)]) AS fact
			FROM signals FINAL WHERE workspace = ? AND id IN (SELECT signal FROM assignments FINAL WHERE workspace = ? AND cluster = ?))
		WHERE value != '' GROUP BY facet, value
		ORDER BY indexOf(['platform', 'version', 'workaround', 'expected', 'job'], facet), voices DESC, value LIMIT %d BY facet`, factsPerFacet), ws, ws, cluster)
	if err != nil {
		return nil, failed("list edge cases", err)
	}
	defer rows.Close()
	out := []Fact{}
	for rows.Next() {
		var f Fact
		if err := rows.Scan(&f.Facet, &f.Value, &f.Voices, &f.Item); err != nil {
			return nil, failed("read edge case", err)
		}
		f.Value = brief.Clean(f.Value)
		out = append(out, f)
	}
	return out, failed("list edge cases", rows.Err())
}
