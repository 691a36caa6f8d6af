package task

import (
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// Description is the document that Describe answers.
type Description struct {
	TaskID     string
	CreateTime int64
	Status     Status
	StartTime  int64   `json:",omitempty"`
	CancelTime int64   `json:",omitempty"`
	StopTime   int64   `json:",omitempty"`
	FinishTime int64   `json:",omitempty"`
	Result     *Result `json:",omitempty"`
	Progress   Progress
	Quality    Quality
}

// Result is what came of a task, once that is known.
type Result struct {
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
	Videos       []Video
}

// Video is one recording at one storage.
type Video struct {
	Filename     string
	FileSize     int64   // bytes, of all its files
	FileDuration float64 // seconds
	FileId       string  `json:",omitempty"` //nolint:revive // the API's name
	FileURL      string
}

// Progress is how far the recording is.
type Progress struct {
	Recorded  float64 // seconds
	Delivered int64   // bytes
}

// Quality is how good the recording is.
type Quality struct {
	Frames        uint64
	Dropped       uint64
	SilentSeconds float64
	Gaps          []Gap
	Restarts      int
}

// Gap is something that is absent from the recording.
type Gap struct {
	At      float64 // seconds, in the recording
	Seconds float64
	Cause   string
}

// describe makes the document of a task, with its latest figures.
func describe(r Record, p control.Progress) Description {
	s := r.State
	d := Description{
		TaskID:     r.ID,
		CreateTime: r.Created.Unix(),
		Status:     s.Status,
		StartTime:  unix(s.StartTime),
		CancelTime: unix(s.CancelTime),
		StopTime:   unix(s.StopTime),
		FinishTime: unix(s.FinishTime),
		Progress:   Progress{Recorded: inSeconds(p.Recorded), Delivered: p.Delivered},
		Quality: Quality{
			Frames: p.Frames, Dropped: p.Dropped, SilentSeconds: inSeconds(p.Silent), Gaps: []Gap{}, Restarts: s.Restarts,
		},
	}
	for _, g := range s.Gaps {
		d.Quality.Gaps = append(d.Quality.Gaps, Gap{At: inSeconds(g.At), Seconds: inSeconds(g.Length), Cause: g.Cause})
	}
	if !s.Status.ended() {
		return d
	}
	code, message := s.failure()
	d.Result = &Result{ErrorCode: code, ErrorMessage: message, Videos: []Video{}}
	for _, v := range s.Deliveries {
		d.Result.Videos = append(d.Result.Videos, Video{
			Filename: v.Filename, FileSize: v.Size, FileDuration: inSeconds(v.Duration), FileId: v.ID, FileURL: v.URL,
		})
	}
	return d
}

// unix is zero for a time that is not set.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// inSeconds keeps milliseconds, and drops what is below: no one can tell it.
func inSeconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}
