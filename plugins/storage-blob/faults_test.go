package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// lesson is one file on its way through a bend and a wire to a store, sent as the engine sends it: the first part last, each call
// again while that can help, all of it anew when the store has lost what it had.
type lesson struct {
	driver *Driver // through the wire
	direct *Driver // not through it
	bend   *bend
	wire   *wire
	grown  grown
	limit  time.Duration // of one call

	delivery storage.Delivery
	state    storage.State
	upload   storage.Upload
	failed   []error // calls that were made again
	begun    int     // uploads

	before func(number int) // is told which part is sent next
	after  func(err error)  // is told of a call that will be made again
}

// newLesson prepares a delivery of a file of n parts and a bit.
func newLesson(t *testing.T, s server, size int64, n int) *lesson {
	t.Helper()
	l := &lesson{limit: time.Minute, delivery: storage.Delivery{TaskID: t.Name(), Epoch: 1, Dir: path.Base(t.Name()), Main: "a.mp4"}}
	l.bend = newBend(t, s)
	l.wire = newWire(t, l.bend.address())
	l.driver, l.direct = newClosingDriver(t, s.at(l.wire.address())), newClosingDriver(t, s.config())
	l.grown = grow(t, size, n)
	l.before, l.after = func(int) {}, func(error) {}
	l.state = mustOpen(t, l.driver, l.delivery)
	return l
}

// try makes a call until it succeeds or cannot succeed.
func (l *lesson) try(t *testing.T, call func(ctx context.Context) error) error {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), l.limit)
		err := call(ctx)
		cancel()
		if err == nil || !status.Retryable(err) {
			return err
		}
		l.failed = append(l.failed, err)
		if len(l.failed) > 40 {
			t.Fatalf("it never ends: %v", err)
		}
		l.after(err)
		time.Sleep(10 * time.Millisecond)
	}
}

// send sends the parts of one upload and finishes it.
func (l *lesson) send(t *testing.T) error {
	t.Helper()
	l.begun++
	err := l.try(t, func(ctx context.Context) (err error) {
		l.upload, err = l.driver.BeginParts(ctx, l.state, storage.Growing{Name: l.delivery.Main, ContentType: "video/mp4"})
		return err
	})
	if err != nil {
		return err
	}
	return l.sendParts(t)
}

func (l *lesson) sendParts(t *testing.T) error {
	t.Helper()
	var receipts []storage.Receipt
	for i := range l.grown.parts() {
		number := i + 2
		if number > l.grown.parts() {
			number = 1
		}
		l.before(number)
		err := l.try(t, func(ctx context.Context) error {
			r, err := l.driver.PutPart(ctx, l.state, l.upload, l.grown.part(number))
			if err == nil {
				receipts = append(receipts, r)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return l.try(t, func(ctx context.Context) error { return l.driver.FinishParts(ctx, l.state, l.upload, receipts) })
}

// commit ends the delivery, and compares what the store says with the file as the engine does.
func (l *lesson) commit(t *testing.T) error {
	t.Helper()
	var location storage.Location
	err := l.try(t, func(ctx context.Context) (err error) {
		location, err = l.driver.Commit(ctx, l.state)
		return err
	})
	if err != nil {
		return err
	}
	sum := md5.Sum(l.grown.content)
	if told, ok := strings.CutPrefix(location.Checksum, "md5:"); ok && told != hex.EncodeToString(sum[:]) {
		return status.Errorf(status.DataLoss, "the store's MD5 is %s", told)
	}
	if location.Size != int64(len(l.grown.content)) {
		return status.Errorf(status.DataLoss, "the store has %d bytes of %d", location.Size, len(l.grown.content))
	}
	return nil
}

// wantWhole looks into the store: one object, whose bytes are the file's, and nothing beside it.
func (l *lesson) wantWhole(t *testing.T) {
	t.Helper()
	key := path.Join(l.delivery.Dir, l.delivery.Main)
	wantObject(t, l.direct, key, l.grown.content)
	objects := l.direct.bucket.List(&blob.ListOptions{Prefix: l.delivery.Dir + "/"})
	for {
		o, err := objects.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if o.Key != key {
			t.Errorf("the store has %s as well", o.Key)
		}
	}
	if n := leftovers(t, l.direct, key); n != 0 {
		t.Errorf("%d pieces are left in the store", n)
	}
}

// wantSentAgain refuses more bytes on the way than the file's and those of the parts that may be sent again.
func (l *lesson) wantSentAgain(t *testing.T, parts int) {
	t.Helper()
	if sent, most := l.bend.sent.Load(), int64(len(l.grown.content))+int64(parts)*l.grown.size; sent > most {
		t.Errorf("%d bytes of parts were sent for a file of %d and %d parts of %d again", sent, len(l.grown.content), parts, l.grown.size)
	}
}

// TestFaults: whatever happens to one request or to the network, in the end there is one object with the bytes of the file, and no
// more than one part was sent again for each call that failed.
func TestFaults(t *testing.T) {
	throttled := answering(http.StatusServiceUnavailable, "SlowDown", "ServerBusy")
	tooMany := answering(http.StatusTooManyRequests, "TooManyRequests", "TooManyRequests")
	broken := answering(http.StatusInternalServerError, "InternalError", "InternalError")
	faults := []struct {
		name   string
		fails  int // calls that fail at least; 0: none
		inject func(t *testing.T, l *lesson)
	}{
		{"none", 0, func(*testing.T, *lesson) {}},
		{"503 to a part, three times", 3, func(_ *testing.T, l *lesson) {
			for n := range 3 {
				l.bend.on(opPart, n+2, throttled)
			}
		}},
		{"429 to a part", 1, func(_ *testing.T, l *lesson) { l.bend.on(opPart, 2, tooMany) }},
		{"500 to a part and to finishing", 2, func(_ *testing.T, l *lesson) {
			l.bend.on(opPart, 1, broken)
			l.bend.on(opFinish, 1, broken)
		}},
		{"the answer to a part is lost", 1, func(_ *testing.T, l *lesson) { l.bend.on(opPart, 2, answerLost) }},
		{"a part is reset midway", 1, func(_ *testing.T, l *lesson) { l.bend.on(opPart, 2, resetMidway) }},
		{"a part is changed on its way", 1, func(_ *testing.T, l *lesson) { l.bend.on(opPart, 2, flipped) }},
		{"finishing is reset midway", 1, func(_ *testing.T, l *lesson) { l.bend.on(opFinish, 1, resetMidway) }},
		{"the answer to finishing is lost", 0, func(_ *testing.T, l *lesson) { l.bend.on(opFinish, 1, answerLost) }},
		{"the connection is cut in the middle of a part", 1, func(t *testing.T, l *lesson) {
			cut := false
			l.before = func(number int) {
				if number == 3 && !cut {
					cut = true
					l.wire.poison(t, `{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 100000}}`)
				}
			}
			l.after = func(error) { l.wire.heal(t) }
		}},
		{"the connection is reset", 1, func(t *testing.T, l *lesson) {
			l.before = func(number int) {
				if number == 3 {
					l.wire.poison(t, `{"type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 0}}`)
				}
			}
			l.after = func(error) { l.wire.heal(t) }
		}},
		{"a black hole", 1, func(t *testing.T, l *lesson) {
			l.before = func(number int) {
				if number == 3 {
					l.limit = 2 * time.Second
					l.wire.poison(t, `{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`)
				}
			}
			l.after = func(error) {
				l.limit = time.Minute
				l.wire.heal(t)
			}
		}},
		{"every answer is late", 0, func(t *testing.T, l *lesson) {
			l.wire.poison(t, `{"type": "latency", "stream": "downstream", "attributes": {"latency": 300, "jitter": 50}}`)
		}},
		{"the store is down and comes back", 1, func(t *testing.T, l *lesson) {
			l.before = func(number int) {
				if number == 3 {
					l.wire.proxy.Stop()
				}
			}
			l.after = func(error) {
				if len(l.failed) < 3 {
					return
				}
				if err := l.wire.proxy.Start(); err != nil && len(l.failed) == 3 {
					t.Error(err)
				}
			}
		}},
		{"each call by a plugin that was started anew", 1, func(t *testing.T, l *lesson) {
			l.before = func(int) { l.driver = newClosingDriver(t, l.driver.config) }
			l.after = func(error) { l.driver = newClosingDriver(t, l.driver.config) }
			l.bend.on(opPart, 2, answerLost)
			l.bend.on(opFinish, 1, answerLost)
		}},
	}
	partStores(t, func(t *testing.T, s server) {
		for _, c := range faults {
			t.Run(c.name, func(t *testing.T) {
				l := newLesson(t, s, partSizeOf(newClosingDriver(t, s.config())), 3)
				c.inject(t, l)
				if err := errors.Join(l.send(t), l.commit(t)); err != nil {
					t.Fatal(err)
				}
				l.wantWhole(t)
				if c.fails == 0 && len(l.failed) > 0 || len(l.failed) < c.fails {
					t.Errorf("%d calls failed, want %d: %v", len(l.failed), c.fails, l.failed)
				}
				l.wantSentAgain(t, len(l.failed))
				if l.begun != 1 {
					t.Errorf("%d uploads were begun", l.begun)
				}
			})
		}
	})
}

// TestTwoHundredWithAnError: S3 begins its answer to Complete before it knows how it ends, so an error may come with the status 200.
func TestTwoHundredWithAnError(t *testing.T) {
	lying := answering(http.StatusOK, "InternalError", "")
	for name, fault := range map[string]bent{
		"nothing was done": lying,
		"it was done": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(discarded{}, r)
			r.Body = http.NoBody
			lying(w, r, next)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLesson(t, startVersity(t), 5<<20, 2)
			l.bend.on(opFinish, 1, fault)
			if err := errors.Join(l.send(t), l.commit(t)); err != nil {
				t.Fatal(err)
			}
			l.wantWhole(t)
			l.wantSentAgain(t, 0)
		})
	}
}

// discarded takes an answer that nobody is to see.
type discarded struct{}

func (discarded) Header() http.Header         { return http.Header{} }
func (discarded) Write(p []byte) (int, error) { return len(p), nil }
func (discarded) WriteHeader(int)             {}

// TestRefusedForAWhile: credentials that are refused end a delivery at once. When it is tried again later, it goes on where it was.
func TestRefusedForAWhile(t *testing.T) {
	partStores(t, func(t *testing.T, s server) {
		l := newLesson(t, s, partSizeOf(newClosingDriver(t, s.config())), 2)
		l.bend.on(opPart, 2, answering(http.StatusForbidden, "AccessDenied", "AuthorizationFailure"))
		if err := l.send(t); !errors.Is(err, status.PermissionDenied) || status.Retryable(err) {
			t.Fatalf("a part that was refused: %v", err)
		}
		if exists, err := l.direct.bucket.Exists(t.Context(), path.Join(l.delivery.Dir, "a.mp4")); err != nil || exists {
			t.Errorf("there is an object: %t, %v", exists, err)
		}
		l.driver = newClosingDriver(t, l.driver.config)
		if err := errors.Join(l.sendParts(t), l.commit(t)); err != nil {
			t.Fatal(err)
		}
		l.wantWhole(t)
	})
}

func TestPartsWithoutABucket(t *testing.T) {
	partStores(t, func(t *testing.T, s server) {
		c := s.config()
		c.URL = strings.Replace(c.URL, "://"+bucketName, "://nosuch", 1)
		d := newClosingDriver(t, c)
		g := grow(t, partSizeOf(d), 1)
		state := mustOpen(t, d, storage.Delivery{TaskID: "t", Main: "a.mp4"})
		u, err := d.BeginParts(t.Context(), state, storage.Growing{Name: "a.mp4"})
		if err == nil {
			_, err = d.PutPart(t.Context(), state, u, g.part(1)) // Azure is asked for the first time
		}
		if !errors.Is(err, status.NotFound) || status.Retryable(err) {
			t.Errorf("a part for a bucket that does not exist: %v", err)
		}
	})
}

// TestDamagedObjects: what the store then has is not what was sent. It is noticed, and sent anew.
func TestDamagedObjects(t *testing.T) {
	damages := map[string]func(content []byte) []byte{
		"truncated": func(content []byte) []byte { return content[:len(content)-1] },
		"corrupted": func(content []byte) []byte {
			content = bytes.Clone(content)
			content[len(content)/2] ^= 1
			return content
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			partStores(t, func(t *testing.T, s server) {
				l := newLesson(t, s, partSizeOf(newClosingDriver(t, s.config())), 1)
				key := path.Join(l.delivery.Dir, "a.mp4")
				l.bend.on(opFinish, 1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					next.ServeHTTP(w, r)
					attrs, err := l.direct.bucket.Attributes(r.Context(), key)
					if err != nil {
						t.Error(err)
						return
					}
					err = l.direct.bucket.WriteAll(r.Context(), key, damage(l.grown.content), &blob.WriterOptions{Metadata: attrs.Metadata})
					if err != nil {
						t.Error(err)
					}
				})
				err := l.sendOnce(t)
				if !errors.Is(err, status.DataLoss) {
					t.Fatalf("it was not noticed: %v", err)
				}
				if err := errors.Join(l.send(t), l.commit(t)); err != nil {
					t.Fatal(err)
				}
				l.wantWhole(t)
				if l.begun != 2 {
					t.Errorf("%d uploads were begun", l.begun)
				}
			})
		})
	}
}

// sendOnce sends and commits without trying again.
func (l *lesson) sendOnce(t *testing.T) error {
	t.Helper()
	l.begun++
	l.upload = mustBegin(t, l.driver, l.state, l.delivery.Main)
	if err := l.driver.FinishParts(t.Context(), l.state, l.upload, mustPutParts(t, l.driver, l.state, l.upload, l.grown)); err != nil {
		return err
	}
	return l.commit(t)
}

// TestASlowWire sends 64 KiB at 8 kB/s. No call is given up for its slowness.
func TestASlowWire(t *testing.T) {
	partStores(t, func(t *testing.T, s server) {
		l := newLesson(t, s, 64<<10, 0)
		l.grown = growTo(t, 64<<10, 64<<10)
		l.wire.poison(t, `{"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 8}}`)
		began := time.Now()
		if err := errors.Join(l.send(t), l.commit(t)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 6*time.Second {
			t.Errorf("it took %v only: the wire was not slow", took)
		}
		l.wantWhole(t)
		l.wantSentAgain(t, 0)
	})
}

// TestWholeFilesOverABadWire: where a store takes whole files only, a Put that failed is made again.
func TestWholeFilesOverABadWire(t *testing.T) {
	partStores(t, func(t *testing.T, s server) {
		l := newLesson(t, s, 1<<20, 3)
		l.wire.poison(t, `{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 500000}}`)
		l.after = func(error) { l.wire.heal(t) }
		f := storage.File{Name: "a.mp4", Path: l.grown.path, Size: int64(len(l.grown.content)), ContentType: "video/mp4"}
		err := l.try(t, func(ctx context.Context) error {
			if len(l.failed) == 0 {
				l.limit = 5 * time.Second // Azure's SDK tries for longer by itself
			}
			return l.driver.Put(ctx, l.state, f)
		})
		if err := errors.Join(err, l.commit(t)); err != nil {
			t.Fatal(err)
		}
		if len(l.failed) == 0 {
			t.Error("nothing has failed")
		}
		l.wantWhole(t)
	})
}
