package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/test/fakecos/cos"
	"github.com/recordhost/recordhost/test/fakevod"
)

// A process may die at each call, before it was made or before its answer was journalled, and with it the machine's disk but for the
// journal: one media comes of the recording, and no more than one part is sent twice.
func TestCrashAnywhereLeavesOneMedia(t *testing.T) {
	const calls = 8 // Open, BeginParts, four parts, FinishParts, Commit
	for _, world := range []struct {
		name       string
		options    fakevod.Options
		anotherDir bool // whoever goes on has a state directory of its own
		anew       bool // it may have to send everything again
	}{
		{name: "here"},
		{name: "elsewhere", anotherDir: true},
		{name: "elsewhere, and a session is committed once only", options: fakevod.Options{Strict: true}, anotherDir: true},
		{name: "with keys for uploading only", options: fakevod.Options{UploadOnly: true}},
		{
			name:    "with keys for uploading only, elsewhere", // an answer of Complete that was lost cannot be asked for
			options: fakevod.Options{UploadOnly: true, MetaDelay: 1}, anotherDir: true, anew: true,
		},
	} {
		for at := range calls {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/call %d/after %v", world.name, at, after), func(t *testing.T) {
					svc := newService(t, world.options)
					e := newEngine(t)
					dying := &crashing{Driver: closed(t, svc.driver(t, svc.config())), at: at, after: after}
					if err := e.run(t.Context(), dying); !errors.Is(err, errCrash) {
						t.Fatalf("it did not die: %v", err)
					}
					if world.anotherDir {
						svc.state = t.TempDir()
					}
					if err := e.run(t.Context(), closed(t, svc.driver(t, svc.config()))); err != nil {
						t.Fatal(err)
					}
					most := int64(len(e.content)) + e.part
					if world.anew {
						most = 2 * int64(len(e.content))
					}
					if sent := svc.sent(); sent > most {
						t.Errorf("%d bytes were sent of %d", sent, len(e.content))
					}
					if world.options.UploadOnly && world.anotherDir {
						e.location.Checksum = checksumOf(e) // nobody can tell it any more
					}
					e.wantOneMedia(t, svc)
				})
			}
		}
	}
}

// closed closes a driver at the end of the test.
func closed(t *testing.T, d *Driver) *Driver {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// vodFails orders a fault for three calls of an action.
func vodFails(action string, f fakevod.Fault) func(*service) {
	return func(s *service) { s.vod.Fail(action, 3, f) }
}

func cosFails(r cos.Rule) func(*service) {
	return func(s *service) { s.cos.Inject(r) }
}

// What the services may answer for a while, or once. Nothing is lost, there is one media, and what is sent again is one part at most.
func TestPassingFaults(t *testing.T) {
	lost := fakevod.Fault{Lost: true}
	for name, order := range map[string]func(*service){
		"ApplyUpload: InternalError":          vodFails("ApplyUpload", fakevod.Fault{Code: "InternalError"}),
		"ApplyUpload: RequestLimitExceeded":   vodFails("ApplyUpload", fakevod.Fault{Code: "RequestLimitExceeded"}),
		"ApplyUpload: 502":                    vodFails("ApplyUpload", fakevod.Fault{Status: http.StatusBadGateway}),
		"ApplyUpload: reset":                  vodFails("ApplyUpload", fakevod.Fault{Reset: true}),
		"ApplyUpload: the answer lost":        func(s *service) { s.vod.Fail("ApplyUpload", 2, lost) },
		"CommitUpload: InternalError":         vodFails("CommitUpload", fakevod.Fault{Code: "InternalError.DBError"}),
		"CommitUpload: 429":                   vodFails("CommitUpload", fakevod.Fault{Status: http.StatusTooManyRequests}),
		"CommitUpload: the answer lost":       vodFails("CommitUpload", lost),
		"DescribeMediaInfos: 503":             vodFails("DescribeMediaInfos", fakevod.Fault{Status: 503}),
		"DescribeMediaInfos: the answer lost": vodFails("DescribeMediaInfos", lost),
		"Initiate: 503": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.InitiateUpload, Times: 3, Fault: cos.Refuse(503, "SlowDown")})
		},
		"a part: 500": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.UploadPart, Part: 2, Times: 3, Fault: cos.Refuse(500, "InternalError")})
		},
		"a part: 429": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.UploadPart, Part: 1, Times: 3, Fault: cos.Refuse(429, "TooMany")})
		},
		"a part: reset": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.UploadPart, Part: 3, Times: 1, Fault: cos.Reset(600_000)})
		},
		"a part: the answer lost": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.UploadPart, Part: 2, Times: 1, Fault: cos.LoseAnswer()})
		},
		"a part: a bit is wrong": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.UploadPart, Part: 2, Times: 1, Fault: cos.Flip(false)})
		},
		"a part: a byte is missing": cosFails(cos.Rule{On: cos.UploadPart, Part: 2, Times: 1, Fault: cos.Cut(false)}),
		"Complete: 503": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.CompleteUpload, Times: 3, Fault: cos.Refuse(503, "SlowDown")})
		},
		"Complete: 200 with an error": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.CompleteUpload, Times: 3, Fault: cos.ErrorInBody("InternalError")})
		},
		"Complete: the answer lost": cosFails(cos.Rule{On: cos.CompleteUpload, Times: 1, Fault: cos.LoseAnswer()}),
		"looking: 503": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.HeadObject, Times: 3, Fault: cos.Refuse(503, "SlowDown")})
		},
		"listing: 503": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.ListObjects, Times: 3, Fault: cos.Refuse(503, "SlowDown")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			svc := newService(t, fakevod.Options{})
			e := newEngine(t)
			order(svc)
			if err := e.run(t.Context(), closed(t, svc.driver(t, svc.config()))); err != nil {
				t.Fatal(err)
			}
			e.wantOneMedia(t, svc)
			// A part whose answer was lost looks well from here.
			if sent, most := svc.sent(), int64(len(e.content))+e.part*max(1, svc.failed()); sent > most || e.opened != 1 {
				t.Errorf("%d bytes were sent of %d, and the delivery was opened %d times", sent, len(e.content), e.opened)
			}
		})
	}
}

// What cannot be mended within a session: everything is sent again in another one, and there is one media.
func TestEverythingIsSentAgain(t *testing.T) {
	inject := func(s *service, on cos.Operation, part int, do func()) {
		s.cos.Inject(cos.Rule{On: on, Part: part, Times: 1, Fault: cos.Then(do)})
	}
	for name, order := range map[string]func(*service){
		"the keys expire before a part":     func(s *service) { inject(s, cos.UploadPart, 3, s.vod.ExpireKeys) },
		"the keys expire before the end":    func(s *service) { inject(s, cos.CompleteUpload, 0, s.vod.ExpireKeys) },
		"the session expires before a part": func(s *service) { inject(s, cos.UploadPart, 3, s.vod.ExpireSessions) },
		"the session expires before it is committed": func(s *service) {
			inject(s, cos.HeadObject, 0, s.vod.ExpireSessions)
		},
		"the store forgets the upload": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.UploadPart, Part: 4, Times: 1, Fault: cos.Refuse(404, "NoSuchUpload")})
		},
		"the object is another one than the parts": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.CompleteUpload, Times: 1, Fault: cos.Flip(false)})
		},
		"a byte of the object is missing": func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.CompleteUpload, Times: 1, Fault: cos.Cut(false)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			svc := newService(t, fakevod.Options{})
			e := newEngine(t)
			order(svc)
			if err := e.run(t.Context(), closed(t, svc.driver(t, svc.config()))); err != nil {
				t.Fatal(err)
			}
			e.wantOneMedia(t, svc)
			if e.opened != 2 {
				t.Errorf("the delivery was opened %d times", e.opened)
			}
		})
	}
}

// A store that says it has what it has not is found out when it is asked again.
func TestSilentDamage(t *testing.T) {
	for name, fault := range map[string]cos.Fault{"a bit": cos.Flip(true), "a byte": cos.Cut(true)} {
		t.Run(name, func(t *testing.T) {
			svc := newService(t, fakevod.Options{})
			d := closed(t, svc.driver(t, svc.config()))
			e := newEngine(t)
			svc.cos.Inject(cos.Rule{On: cos.PutObject, Times: 1, Fault: fault})
			s := mustOpen(t, d, e.delivery)
			f := storage.File{Name: e.delivery.Main, Path: e.path, Size: int64(len(e.content))}
			if err := d.Put(t.Context(), s, f); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Commit(t.Context(), s); !errors.Is(err, status.DataLoss) || len(svc.vod.Media()) != 0 {
				t.Errorf("commit of a damaged object: %v, and %v", err, svc.vod.Media())
			}
			if err := d.Put(t.Context(), s, f); err != nil {
				t.Fatal(err)
			}
			l, err := d.Commit(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			e.location = &l
			e.wantOneMedia(t, svc)
		})
	}
}

// A recording outlasts the keys: as soon as they are over by the clock nothing more is sent with them.
func TestKeysThatAreOver(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	e := newEngine(t)
	s := mustOpen(t, d, e.delivery)
	now := time.Now()
	d.now = func() time.Time { return now.Add(3 * time.Hour) }
	before := len(svc.cos.Requests())
	_, err := d.BeginParts(t.Context(), s, storage.Growing{Name: e.delivery.Main})
	if !errors.Is(err, status.FailedPrecondition) || len(svc.cos.Requests()) != before {
		t.Errorf("%v, after %d requests", err, len(svc.cos.Requests())-before)
	}
	if next := mustOpen(t, d, e.delivery); string(next) == string(s) {
		t.Error("the session that is over was opened again")
	}
}

// What no repetition cures is told as what it is.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		order func(*service)
		kind  status.Kind
	}{
		"the account's keys": {func(s *service) { s.vod.Fail("ApplyUpload", 99, fakevod.Fault{Code: "AuthFailure.SecretIdNotFound"}) },
			status.PermissionDenied},
		"no permission": {func(s *service) {
			s.vod.Fail("ApplyUpload", 99, fakevod.Fault{Code: "UnauthorizedOperation.CamNoPerm"})
		},
			status.PermissionDenied},
		"VOD is not activated": {func(s *service) { s.vod.Fail("ApplyUpload", 99, fakevod.Fault{Code: "FailedOperation.InvalidVodUser"}) },
			status.PermissionDenied},
		"a parameter": {func(s *service) {
			s.vod.Fail("ApplyUpload", 99, fakevod.Fault{Code: "InvalidParameterValue.StorageRegion"})
		},
			status.InvalidArgument},
		"403 by the store": {func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.InitiateUpload, Fault: cos.Refuse(403, "AccessDenied")})
		},
			status.PermissionDenied},
		"no bucket": {func(s *service) {
			s.cos.Inject(cos.Rule{On: cos.InitiateUpload, Fault: cos.Refuse(404, "NoSuchBucket")})
		},
			status.NotFound},
		"the store is down": {cosFails(cos.Rule{On: cos.UploadPart, Fault: cos.Refuse(503, "SlowDown")}),
			status.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			svc := newService(t, fakevod.Options{})
			e := newEngine(t)
			c.order(svc)
			err := e.run(t.Context(), closed(t, svc.driver(t, svc.config())))
			if status.KindOf(err) != c.kind || len(svc.vod.Media()) != 0 {
				t.Errorf("%v is %q, want %q", err, status.KindOf(err), c.kind)
			}
			for _, secret := range []string{testKey, "q-signature", "security-token"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
		})
	}
}

// A service that answers nothing costs no more than the caller's time for it.
func TestBlackHoles(t *testing.T) {
	for name, order := range map[string]func(*service){
		"VOD":  func(s *service) { s.vod.Fail("ApplyUpload", 1, fakevod.Fault{Hang: true}) },
		"part": cosFails(cos.Rule{On: cos.UploadPart, Times: 1, Fault: cos.BlackHole()}),
	} {
		t.Run(name, func(t *testing.T) {
			svc := newService(t, fakevod.Options{})
			d := closed(t, svc.driver(t, svc.config()))
			e := newEngine(t)
			order(svc)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := e.run(ctx, d); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%v", err)
			}
			if err := e.run(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			e.wantOneMedia(t, svc)
		})
	}
}

// Retry-After of the store reaches who tries again.
func TestRetryAfter(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	e := newEngine(t)
	svc.cos.Inject(cos.Rule{On: cos.InitiateUpload, Fault: cos.RefuseFor(503, "SlowDown", 7*time.Second)})
	_, err := d.BeginParts(t.Context(), mustOpen(t, d, e.delivery), storage.Growing{Name: e.delivery.Main})
	if after, ok := status.RetryAfter(err); !ok || after != 7*time.Second {
		t.Errorf("%v is to be tried again after %v", err, after)
	}
}

func mustOpen(t *testing.T, d *Driver, delivery storage.Delivery) storage.State {
	t.Helper()
	s, err := d.Open(t.Context(), delivery)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failed is how many parts were refused.
func (s *service) failed() (n int64) {
	for _, r := range s.cos.Requests(cos.UploadPart) {
		if r.Status != http.StatusOK {
			n++
		}
	}
	return n
}

// What was delivered is not removed by an Abort that comes after a Commit whose answer was lost, also of another process.
func TestAbortLeavesWhatMayBeMedia(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	e := newEngine(t)
	svc.vod.Fail("CommitUpload", again, fakevod.Fault{Lost: true})
	if err := e.run(t.Context(), d); !errors.Is(err, status.Unavailable) {
		t.Fatal(err)
	}
	if err := closed(t, svc.driver(t, svc.config())).Abort(t.Context(), e.state); err != nil {
		t.Fatal(err)
	}
	if err := e.run(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	e.wantOneMedia(t, svc)
}

// A large file goes in parts, and is seen when it is whole and right, or not at all.
func TestLargePut(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	d.singlePut = 2 << 20
	e := newEngine(t)
	s := mustOpen(t, d, e.delivery)
	f := storage.File{Name: e.delivery.Main, Path: e.path, Size: int64(len(e.content)), SHA256: make([]byte, 32)}
	if err := d.Put(t.Context(), s, f); !errors.Is(err, status.DataLoss) {
		t.Errorf("put of another checksum: %v", err)
	}
	st, err := parseState(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(svc.cos.Objects(st.Bucket)) != 0 || len(svc.cos.Uploads(st.Bucket)) != 0 {
		t.Error("a put that failed left something")
	}
	f.SHA256 = nil
	if err := d.Put(t.Context(), s, f); err != nil {
		t.Fatal(err)
	}
	l, err := d.Commit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	e.location = &l
	e.wantOneMedia(t, svc)
	if len(svc.cos.Requests(cos.PutObject)) != 0 {
		t.Error("it was sent in one piece")
	}
}

// Of a session's secrets nothing is in what is journalled, by the engine or by the plugin. Another key of the account cannot read it:
// the delivery is opened anew then.
func TestSecretsAreSealed(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	e := newEngine(t)
	s := mustOpen(t, d, e.delivery)
	st, err := parseState(s)
	if err != nil {
		t.Fatal(err)
	}
	x, err := d.sealer.open(st)
	if err != nil {
		t.Fatal(err)
	}
	journals := map[string]string{"state": string(s)}
	files, err := filepath.Glob(filepath.Join(svc.state, "sessions", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	journals["record"] = readFile(t, files[0])
	for name, text := range journals {
		for _, secret := range []string{x.SessionKey, x.SecretID, x.SecretKey, x.Token, testKey} {
			if secret == "" || strings.Contains(text, secret) {
				t.Errorf("the %s holds %q", name, secret)
			}
		}
	}
	other, err := newSealer("the key after that")
	if err != nil {
		t.Fatal(err)
	}
	d.sealer = other
	if _, err := d.BeginParts(t.Context(), s, storage.Growing{Name: e.delivery.Main}); !errors.Is(err, status.FailedPrecondition) {
		t.Errorf("a state that another key sealed: %v", err)
	}
	if next := mustOpen(t, d, e.delivery); string(next) == string(s) {
		t.Error("it was opened again")
	}
}
