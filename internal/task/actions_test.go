package task

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// The documented Start, as it stands there, asks for what this release does not have. It must say so, not record to
// somewhere else.
func TestTheDocumentedStart(t *testing.T) {
	h := newHost(t, nil, nil)
	const page = "https://web-record-12596******.cos.ap-chengdu.myqcloud.com/test/ponyo.mp4"
	_, err := h.Do(context.Background(), "Start", data(`{"RecordURL": %q,
		"Width": 1280,"Height": 720,"CallbackURL": "http://xxx/webrecord/callback","MaxDurationLimit": 21600,
		"Output":{"Cos":{"Domain":"abc.xxx.com","Bucket":"webrecord-xxx","Region":"ap-shanghai","TargetDir":"11234/",
		"TargetName":"record-file-name.mp4"},"Vod": {"MediaInfo": {"MediaName": "test","ExpireTime": "2023-10-01T10:00:00Z",
		"StorageRegion": "ap-shanghai","ClassId": 1},"ProcedureInfo": {"Procedure": "","SessionContext": ""},"SubAppId": 1500007120},
		"Video": {"Muxer": "hls","EncryptKey": "21834cca41778803e1afba3f41e70c90",
		"AuthUrl": "https://hls-web-record-125******.cos.ap-shanghai.myqcloud.com/m3u8-encrypt/enc.key"}}}`, page))
	if message := wantCode(t, err, CodeInvalidParam); !strings.Contains(message, "not configured") {
		t.Errorf("got %s", message)
	}
	answer, err := h.Do(context.Background(), "Start",
		data(`{"RecordURL": %q,"Width": 1280,"Height": 720,"MaxDurationLimit": 21600}`, page))
	if err != nil {
		t.Fatal(err)
	}
	id := answer.(Answer).TaskID
	if len(id) != 36 || strings.Count(id, "-") != 4 || id[14] != '4' {
		t.Errorf("the TaskID %q is no UUIDv4", id)
	}
	w := h.worker()
	want := control.Target{
		Storage: "files", Plugin: "blob", Config: []byte(`{"url":"file:///tmp"}`), Dir: id, Main: w.Spec().Targets[0].Main,
	}
	if got := w.Spec().Targets[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("the target is %+v", reflect.ValueOf(got))
	}
}

func TestActions(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	one := string(data(`{"TaskID":%q,"More":1}`, id))
	for _, c := range []struct {
		action, data string
		code, text   string // of the error
		status       Status // afterwards
	}{
		{"", `{}`, CodeInvalidParam, "Action missing", Recording},
		{"Restart", `{}`, CodeInvalidParam, `Action "Restart" is unknown`, Recording},
		{"start", simple, CodeInvalidParam, `Action "start" is unknown`, Recording},
		{"ResendCallback", one, CodeInvalidParam, "without a CallbackURL", Recording},
		{"RetryUpload", one, CodeInvalidStatus, "can't retry the upload of a task in status recording", Recording},
		{"Pause", ``, CodeInvalidParam, "TaskID missing", Recording},
		{"Pause", `{}`, CodeInvalidParam, "TaskID missing", Recording},
		{"Pause", `{"TaskID":""}`, CodeInvalidParam, "TaskID missing", Recording},
		{"Pause", `{"TaskID":5}`, CodeInvalidParam, "Data.TaskID must be a string", Recording},
		{"Pause", `[]`, CodeInvalidParam, "Data must be an object", Recording},
		{"Describe", `{}`, CodeInvalidParam, "TaskID missing", Recording},
		{"Describe", `{"TaskID":"x"}`, CodeInvalidParam, "invalid task id, task not found", Recording},
		{"Start", `{}`, CodeInvalidParam, "RecordURL missing", Recording},
		{"Start", string(with(`"Output":{"Storage":"nowhere"}`)), CodeInvalidParam, `Storage "nowhere" is not configured`, Recording},
		{"Start", string(with(`"Output":{"Targets":[{},{"Storage":"files"}]}`)), CodeInvalidParam, `of storage "files" twice`, Recording},
		{"Pause", one, "", "", Paused},
		{"Pause", one, "", "", Paused},
		{"Refresh", one, "", "", Paused},
		{"Resume", one, "", "", Recording},
		{"Resume", one, "", "", Recording},
		{"Cancel", one, "", "", Canceled},
		{"Stop", one, "", "", Canceled},
		{"Pause", one, CodeInvalidStatus, "can't pause a task in status canceled", Canceled},
		{"Resume", one, CodeInvalidStatus, "can't resume a task in status canceled", Canceled},
		{"Refresh", one, CodeInvalidStatus, "can't refresh a task in status canceled", Canceled},
	} {
		answer, err := h.Do(context.Background(), c.action, json.RawMessage(c.data))
		switch {
		case c.code != "":
			if message := wantCode(t, err, c.code); !strings.Contains(message, c.text) {
				t.Errorf("%s %s: %s", c.action, c.data, message)
			}
		case err != nil:
			t.Errorf("%s: %v", c.action, err)
		case answer != Answer{TaskID: id}:
			t.Errorf("%s answers %v", c.action, answer)
		}
		h.wantStatus(id, c.status)
	}
	answer, err := h.Do(context.Background(), "Describe", json.RawMessage(one))
	if d, ok := answer.(Description); err != nil || !ok || d.TaskID != id {
		t.Errorf("Describe: %v, %v", answer, err)
	}
}

func TestList(t *testing.T) {
	h := newHost(t, nil, nil)
	var ids []string
	for range 5 {
		id, w := h.start(simple)
		ids = append(ids, id)
		if len(ids)%2 == 0 {
			w.say(t, control.Started{})
		}
		w.Report(control.Progress{Frames: uint64(len(ids))})
	}
	slices.Reverse(ids)
	list := func(d string) ListAnswer {
		t.Helper()
		answer, err := h.Do(context.Background(), "List", json.RawMessage(d))
		if err != nil {
			t.Fatal(err)
		}
		return answer.(ListAnswer)
	}
	named := func(l ListAnswer) []string {
		var out []string
		for _, d := range l.Tasks {
			out = append(out, d.TaskID)
		}
		return out
	}
	if got := named(list(``)); !slices.Equal(got, ids) {
		t.Errorf("all: %v, want %v", got, ids)
	}
	if got := named(list(`{"Status":"recording"}`)); !slices.Equal(got, []string{ids[1], ids[3]}) {
		t.Errorf("those that record: %v", got)
	}
	first := list(`{"Limit":3}`)
	second := list(fmt.Sprintf(`{"Limit":3,"Cursor":%q}`, first.Cursor))
	if got := append(named(first), named(second)...); !slices.Equal(got, ids) || second.Cursor != "" {
		t.Errorf("by pages: %v, %q", got, second.Cursor)
	}
	now := time.Now().Unix()
	if got := list(fmt.Sprintf(`{"Since":%d}`, now+60)); len(got.Tasks) != 0 || got.Tasks == nil {
		t.Errorf("of the future: %v", got)
	}
	if got := list(fmt.Sprintf(`{"Until":%d}`, now+60)); len(got.Tasks) != 5 {
		t.Errorf("of the past: %v", named(got))
	}
	until(t, "the figures of heartbeats are listed", func() bool { return list(``).Tasks[0].Quality.Frames == 5 })
	for d, want := range map[string]string{
		`{"Status":"gone"}`: "Data.Status must be one of", `{"Limit":0}`: "Data.Limit must be", `{"Limit":501}`: "Data.Limit must be",
		`{"Cursor":"x"}`: "Data.Cursor is none", `{"Since":"today"}`: "Data.Since must be", `{"Since":1e300}`: "Data.Since must be",
	} {
		_, err := h.Do(context.Background(), "List", json.RawMessage(d))
		if message := wantCode(t, err, CodeInvalidParam); !strings.Contains(message, want) {
			t.Errorf("%s: %s", d, message)
		}
	}
}

func TestTheWorkersSpec(t *testing.T) {
	h := newHost(t, func(o *Options) { o.OrphanGrace = 3 * time.Second }, nil)
	_, w := h.start(`{"TaskID":"t","RecordURL":"https://example.com/","Width":321,"ManualStart":true,"ReadyTimeout":5,
		"Output":{"Storage":"other","TargetDir":"d","TargetName":"n","Video":{"Bitrate":2000000}}}`)
	want := control.Spec{
		TaskID: "t", Epoch: 1, RecordURL: "https://example.com/", ManualStart: true, ReadyTimeout: 5 * time.Second, Width: 321,
		Height: 720, PageTimeout: time.Minute, MaxDuration: 6 * time.Hour, ResumeWithin: time.Minute, UploadGiveUp: time.Hour,
		OrphanGrace: 3 * time.Second,
		Video:       control.Video{Muxer: "mp4", FPS: 30, Bitrate: 2000000, Preset: "veryfast", AudioBitrate: 128000},
		Browser:     control.Browser{Sandbox: true},
		SpoolDir:    h.dir + "/spool/t", PluginDir: "/plugins", ChromePath: "/chrome", FFmpegPath: "/ffmpeg",
		Targets: []control.Target{{Storage: "other", Plugin: "blob", Dir: "d", Main: "n.mp4"}},
	}
	got := w.Spec()
	if want.Clock = got.Clock; got.Clock.Wall.IsZero() || got.Clock.Boot == "" {
		t.Errorf("the task's time begins at %+v", got.Clock)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", reflect.ValueOf(got), reflect.ValueOf(want))
	}
	if got := w.launch.Resources; got.MilliCPU < 400 || got.MemoryBytes < 512<<20 {
		t.Errorf("the resources are %+v", got)
	}
	_, w = h.start(simple)
	if v := w.Spec().Video; v.CRF != 23 || v.Bitrate != 0 {
		t.Errorf("by default: %+v", v)
	}
}
