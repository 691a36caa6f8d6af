package main

import (
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/test/fakecos/cos"
	"github.com/recordhost/recordhost/test/fakevod"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func checksumOf(e *engine) string { return formatCRC(crc64.Checksum(e.content, crcTable())) }

// All that a request may say about its media reaches VOD; what it leaves out is the configuration's.
func TestMediaAsRequested(t *testing.T) {
	svc := newService(t, fakevod.Options{SubAppIDs: []uint64{1500000999}})
	config := svc.config()
	config.Procedure, config.ClassID, config.AllowSubAppIDs = "standard", 7, []string{"1500000999"}
	expire := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	everything := fmt.Sprintf(`{
		"MediaInfo":{"MediaName":"第一课","ExpireTime":%q,"StorageRegion":"ap-beijing","ClassId":0,"SourceContext":"user 7"},
		"ProcedureInfo":{"Procedure":"custom","SessionContext":"context"},"SubAppId":1500000999}`, expire)
	for name, c := range map[string]struct {
		target string
		want   fakevod.Media
	}{
		"nothing": {"", fakevod.Media{
			SubAppID: testSubApp, Name: "lesson", Type: "mp4", ClassID: 7, Procedure: "standard", Region: "ap-shanghai",
		}},
		"empty": {`{"MediaInfo":{"MediaName":""},"SubAppId":""}`, fakevod.Media{
			SubAppID: testSubApp, Name: "lesson", Type: "mp4", ClassID: 7, Procedure: "standard", Region: "ap-shanghai",
		}},
		"everything": {everything, fakevod.Media{
			SubAppID: 1500000999, Name: "第一课", Type: "mp4", ClassID: 0, Procedure: "custom", Region: "ap-beijing", ExpireTime: expire,
			SourceContext: "user 7", SessionContext: "context",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := closed(t, svc.driver(t, config))
			before := len(svc.vod.Media())
			e := newEngine(t)
			e.delivery.TaskID, e.delivery.Target = name, []byte(c.target)
			if err := e.run(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			all := svc.vod.Media()
			if len(all) != before+1 {
				t.Fatalf("%v", all)
			}
			m := all[before]
			got := fakevod.Media{
				SubAppID: m.SubAppID, Name: m.Name, Type: m.Type, ClassID: m.ClassID, ExpireTime: m.ExpireTime,
				SourceContext: m.SourceContext, Procedure: m.Procedure, SessionContext: m.SessionContext, Region: m.Region,
			}
			if got != c.want {
				t.Errorf("the media is %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestTargetsThatAreRefused(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	for target, want := range map[string]string{
		`{"SubAppId":1500000999}`:           "SubAppId",
		`{"SubAppId":"1500000999"}`:         "SubAppId",
		`{"SubAppId":"x"}`:                  "SubAppId",
		`{"SubAppId":-1}`:                   "SubAppId",
		`{"SubAppId":1.5}`:                  "SubAppId",
		`{"SubAppId":[1]}`:                  "SubAppId",
		`{"MediaInfo":{"Category":"x"}}`:    "Category",
		`{"MediaInfo":{"ClassId":"seven"}}`: "ClassId",
		`{"MediaInfo":[]}`:                  "MediaInfo",
		`{"Bucket":"b"}`:                    "Bucket",
		`{} {}`:                             "more than",
		`null`:                              "not a JSON object",
	} {
		_, err := d.Open(t.Context(), storage.Delivery{TaskID: "t", Main: "a.mp4", Target: []byte(target)})
		if status.KindOf(err) != status.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", target, err, want)
		}
	}
	if calls := svc.vod.Calls(); len(calls) != 0 {
		t.Errorf("VOD was asked: %v", calls)
	}
}

// The playlist is the media, its segments lie beside it under their own names, and the size is that of all.
func TestHLS(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	delivery := storage.Delivery{TaskID: "task", Epoch: 1, Dir: "task", Main: "playlist.m3u8"}
	s := mustOpen(t, d, delivery)
	put := func(name, content string) {
		t.Helper()
		path := t.TempDir() + "/local"
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.Put(t.Context(), s, storage.File{Name: name, Path: path, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
	}
	size := 0
	for i := range 3 {
		segment := strings.Repeat("x", 100+i)
		put(fmt.Sprintf("playlist%d.ts", i), segment)
		size += len(segment)
		put("playlist.m3u8", strings.Repeat("#EXTM3U\n", i+1)) // it is written again after each segment
	}
	size += 3 * len("#EXTM3U\n")
	l, err := d.Commit(t.Context(), s)
	if err != nil || l.Size != int64(size) || l.Name != "playlist.m3u8" {
		t.Fatalf("%+v, %v; want %d bytes", l, err, size)
	}
	media := svc.vod.Media()
	if len(media) != 1 || media[0].Type != "m3u8" || media[0].Size != int64(size) || !strings.HasSuffix(l.URL, ".m3u8") {
		t.Fatalf("%v", media)
	}
	for i := range 3 {
		o, ok := svc.cos.Object(media[0].Bucket, media[0].Dir()+fmt.Sprintf("playlist%d.ts", i))
		if !ok || o.Size != int64(100+i) {
			t.Errorf("segment %d has %d bytes", i, o.Size)
		}
	}
}

// Check leaves neither a media nor an object.
func TestCheckLeavesNothing(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	if err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(svc.vod.Media()) != 0 || len(svc.cos.Objects("vodtransapshanghai-1250000000")) != 0 {
		t.Errorf("%v, %v", svc.vod.Media(), svc.cos.Objects("vodtransapshanghai-1250000000"))
	}
	svc.cos.Inject(cos.Rule{On: cos.PutObject, Fault: cos.Refuse(403, "AccessDenied")})
	if err := d.Check(t.Context()); status.KindOf(err) != status.PermissionDenied {
		t.Errorf("the store refuses: %v", err)
	}
}

func TestConfigMistakes(t *testing.T) {
	good := Config{SecretID: "i", SecretKey: schema.NewSecret("hunter2"), Endpoint: "https://vod.tencentcloudapi.com"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, bend := range map[string]func(*Config){
		"secret_id":         func(c *Config) { c.SecretID = "" },
		"secret_key":        func(c *Config) { c.SecretKey = schema.Secret{} },
		"sub_app_id":        func(c *Config) { c.SubAppID = -1 },
		"allow_sub_app_ids": func(c *Config) { c.AllowSubAppIDs = []string{"1", "one"} },
		"endpoint":          func(c *Config) { c.Endpoint = "vod.tencentcloudapi.com" },
		"cos_endpoint":      func(c *Config) { c.COSEndpoint = "http://127.0.0.1:9000/bucket" },
	} {
		c := good
		bend(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want+":") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestSettings(t *testing.T) {
	c, err := schema.Decode[Config]([]byte(`{"secret_id":"i","secret_key":"k","sub_app_id":1500000123,"procedure":"p","class_id":3,
		"storage_region":"ap-beijing","allow_sub_app_ids":["7"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.SubAppID != testSubApp || c.ClassID != 3 || c.Procedure != "p" || c.StorageRegion != "ap-beijing" || c.SecretKey.Reveal() != "k" ||
		c.Endpoint != "https://vod.tencentcloudapi.com" || c.Region != "ap-guangzhou" || !c.mayUse(7) || c.mayUse(8) || c.mayUse(0) {
		t.Errorf("%+v", c)
	}
}

// The checksum of a whole is that of its pieces, put together.
func TestJoinedChecksums(t *testing.T) {
	content := make([]byte, 10_000)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(content)
	for _, cut := range []int{0, 1, 8, 4095, 9_999, 10_000} {
		first, second := content[:cut], content[cut:]
		got := joinCRC(crc64.Checksum(first, crcTable()), crc64.Checksum(second, crcTable()), int64(len(second)))
		if want := crc64.Checksum(content, crcTable()); got != want {
			t.Errorf("cut at %d: %d, want %d", cut, got, want)
		}
	}
}

// A record that was cut off by a crash tells what stands before, and takes what comes after.
func TestRecordCutOff(t *testing.T) {
	svc := newService(t, fakevod.Options{})
	d := closed(t, svc.driver(t, svc.config()))
	delivery := storage.Delivery{TaskID: "t", Main: "a.mp4"}
	s := mustOpen(t, d, delivery)
	d.records.note(delivery, s, line{File: &stored{Name: "a.mp4", Size: 1}})
	f, err := os.OpenFile(d.records.path(delivery), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\n{\"file\":{\"name\":\"b"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d.records.note(delivery, s, line{File: &stored{Name: "c", Size: 3}})
	got := d.records.session(delivery, s)
	if len(got.files) != 2 || got.files["a.mp4"].Size != 1 || got.files["c"].Size != 3 {
		t.Errorf("%+v", got.files)
	}
	d.records.sweep(time.Now().Add(keepRecords + time.Hour))
	if got := d.records.of(delivery); got.state != nil {
		t.Error("an old record is kept")
	}
}
