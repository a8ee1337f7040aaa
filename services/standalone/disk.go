package standalone

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/broker"
)

// disk tells, at each scrape, how full the file system of the data folder is: the one
// thing that stops the all-in-one from taking deliveries while all of it works.
type disk struct {
	dir  string
	size *prometheus.Desc
	free *prometheus.Desc
}

func newDisk(dir string) *disk {
	return &disk{
		dir:  dir,
		size: prometheus.NewDesc("throughline_disk_size_bytes", "Size of the file system of the data folder.", nil, nil),
		free: prometheus.NewDesc("throughline_disk_free_bytes", "What of it is free; deliveries are refused below 1 GB or 5 %, whichever is more.", nil, nil),
	}
}

// Describe names both.
func (d *disk) Describe(out chan<- *prometheus.Desc) { out <- d.size; out <- d.free }

// Collect measures; a folder that cannot be measured has no value.
func (d *disk) Collect(out chan<- prometheus.Metric) {
	size, free, err := broker.Space(d.dir)
	if err != nil {
		return
	}
	out <- prometheus.MustNewConstMetric(d.size, prometheus.GaugeValue, float64(size))
	out <- prometheus.MustNewConstMetric(d.free, prometheus.GaugeValue, float64(free))
}
