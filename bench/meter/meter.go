// Package meter tells what a command costs while it runs: processor time and memory of every process that was born after
// it was started, whoever its parent is by then. So nothing else may be started on the machine meanwhile. The measuring
// process itself never counts. Only bench uses it.
package meter

import (
	"context"
	"maps"
	"os"
	"time"

	"github.com/recordhost/recordhost/test/processes"
)

// sampleEach is how often the table is read, so that processes which end in between are counted up to then.
const sampleEach = 250 * time.Millisecond

// Cost is what ran during a measurement.
type Cost struct {
	Cores  float64            `json:"cores"`  // processor seconds for each second
	ByName map[string]float64 `json:"byName"` // the same, for the processes of each name
	Memory int64              `json:"memory"` // bytes at the end, shared ones counted once (Pss)
}

// Meter knows which processes were there before.
type Meter struct {
	before map[processes.Key]processes.Process
}

// New makes a meter. What starts from now on counts.
func New() (*Meter, error) {
	before, err := processes.All()
	if err != nil {
		return nil, err
	}
	return &Meter{before: before}, nil
}

// Measure watches for that long and answers the cost of this time.
func (m *Meter) Measure(ctx context.Context, length time.Duration) (Cost, error) {
	first, err := m.born()
	if err != nil {
		return Cost{}, err
	}
	begin := time.Now()
	end := time.NewTimer(length)
	defer end.Stop()
	sample := time.NewTicker(sampleEach)
	defer sample.Stop()
	last := map[processes.Key]processes.Process{}
	for running := true; running; {
		select {
		case <-ctx.Done():
			return Cost{}, context.Cause(ctx)
		case <-end.C:
			running = false
		case <-sample.C:
		}
		now, err := m.born()
		if err != nil {
			return Cost{}, err
		}
		maps.Copy(last, now)
	}
	return cost(first, last, time.Since(begin)), nil
}

func (m *Meter) born() (map[processes.Key]processes.Process, error) {
	all, err := processes.All()
	if err != nil {
		return nil, err
	}
	for key := range all {
		if _, old := m.before[key]; old || key.PID == os.Getpid() {
			delete(all, key)
		}
	}
	return all, nil
}

func cost(first, last map[processes.Key]processes.Process, length time.Duration) Cost {
	c := Cost{ByName: map[string]float64{}}
	for key, p := range last {
		cores := (p.CPU - first[key].CPU).Seconds() / length.Seconds()
		c.Cores += cores
		c.ByName[p.Name] += cores
		c.Memory += processes.Memory(p.PID)
	}
	return c
}
