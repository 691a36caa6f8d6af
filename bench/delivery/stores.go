package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/recordhost/recordhost/test/fakecos/cos"
)

// kind is a kind of store that recordings are delivered to.
type kind struct {
	name   string
	plugin string
	hls    bool          // as a playlist and its segments, not as an MP4
	bar    time.Duration // from Stop until the object is readable
	later  time.Duration // by how much more after a long recording
	start  func(dir string) (store, error)
}

// form is what the recording becomes there.
func (k kind) form() string {
	if k.hls {
		return "HLS"
	}
	return "MP4"
}

// id tells the kinds apart.
func (k kind) id() string { return k.form() + " " + k.name }

// kinds are those that take a recording while it grows.
func kinds() []kind {
	return []kind{
		{name: "S3, whose smallest part is 5 MiB", plugin: "blob", bar: 3500 * time.Millisecond, later: laterBy, start: startS3},
		{name: "COS", plugin: "cos", bar: 2 * time.Second, later: laterBy, start: startCOS},
		{name: "COS", plugin: "cos", hls: true, bar: 2 * time.Second, later: laterHLS, start: startCOS},
	}
}

// store is a server of this process.
type store interface {
	// settings are the plugin's, as JSON, and its environment.
	settings() (json.RawMessage, map[string]string, error)
	// read is where anybody reads an object.
	read(key string) string
	// sent is how many bytes of objects and parts have come.
	sent() int64
	close() error
}

const (
	cosBucket = "recordings-1250000000"
	cosRegion = "ap-shanghai"
	keyID     = "AKIDbench"
)

// cosStore is test/fakecos, which checks signatures and keeps objects on the disk.
type cosStore struct{ *cos.Server }

func startCOS(dir string) (store, error) {
	s, err := cos.Start(cos.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	s.SetKeys(cos.Keys{SecretID: keyID, SecretKey: "bench"})
	s.AddBucket(cos.Bucket{Name: cosBucket, Region: cosRegion, Public: true})
	return cosStore{s}, nil
}

func (s cosStore) settings() (json.RawMessage, map[string]string, error) {
	text, err := json.Marshal(map[string]string{
		"bucket": cosBucket, "region": cosRegion, "secret_id": keyID, "secret_key": "bench", "endpoint": s.URL(),
	})
	return text, nil, err
}

func (s cosStore) read(key string) string { return fmt.Sprintf("%s/%s/%s", s.URL(), cosBucket, key) }

func (s cosStore) sent() (n int64) {
	for _, r := range s.Requests(cos.UploadPart, cos.PutObject) {
		n += r.Received
	}
	return n
}

func (s cosStore) close() error { return s.Close() }

func (s *s3) settings() (json.RawMessage, map[string]string, error) {
	text, err := json.Marshal(map[string]string{
		"url": fmt.Sprintf("s3://%s?endpoint=http://%s&use_path_style=true&region=us-east-1", bucket, s.address),
	})
	return text, map[string]string{
		"AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true",
	}, err
}

func (s *s3) read(key string) string { return fmt.Sprintf("http://%s/%s/%s", s.address, bucket, key) }

func (s *s3) sent() int64 { return s.received.Load() }
