package product

import "time"

// Description is the answer to Describe, and what `record --json` prints.
type Description struct {
	TaskID     string    `json:"TaskID"`
	RequestID  string    `json:"RequestID"`
	Status     string    `json:"Status"`
	CreateTime int64     `json:"CreateTime"` // Unix seconds, as the others
	StartTime  int64     `json:"StartTime"`
	CancelTime int64     `json:"CancelTime"`
	StopTime   int64     `json:"StopTime"`
	FinishTime int64     `json:"FinishTime"`
	Result     *Result   `json:"Result"`
	Progress   *Progress `json:"Progress"`
	Quality    *Quality  `json:"Quality"`
}

// Result is there when a recording has ended.
type Result struct {
	ErrorCode    string  `json:"ErrorCode"`
	ErrorMessage string  `json:"ErrorMessage"`
	Videos       []Video `json:"Videos"`
}

// Video is a file that was delivered.
type Video struct {
	Filename     string  `json:"Filename"`
	FileSize     int64   `json:"FileSize"`
	FileDuration float64 `json:"FileDuration"` // seconds
	FileID       string  `json:"FileId"`       // only of VOD
	FileURL      string  `json:"FileURL"`
}

// Length is the video's as a time.
func (v Video) Length() time.Duration { return time.Duration(v.FileDuration * float64(time.Second)) }

// Progress tells how far a recording is.
type Progress struct {
	Recorded  float64 `json:"Recorded"`  // seconds
	Delivered int64   `json:"Delivered"` // bytes
}

// Quality is what recordhost itself counted.
type Quality struct {
	Frames        int64   `json:"Frames"`
	Dropped       int64   `json:"Dropped"`
	SilentSeconds float64 `json:"SilentSeconds"`
	Gaps          []Gap   `json:"Gaps"`
	Restarts      int     `json:"Restarts"`
}

// Gap is a time that could not be recorded.
type Gap struct {
	At      float64 `json:"At"`
	Seconds float64 `json:"Seconds"`
	Cause   string  `json:"Cause"`
}
