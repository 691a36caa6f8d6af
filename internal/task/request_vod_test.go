package task

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestVodIsPassedOn(t *testing.T) {
	long := strings.Repeat("课", maxSourceContext)
	for _, c := range []struct {
		vod  string
		want string // Settings
	}{
		{`{}`, `{"MediaInfo":{},"ProcedureInfo":{}}`},
		{`{"MediaInfo":null,"ProcedureInfo":{},"SubAppId":null,"Unknown":1}`, `{"MediaInfo":{},"ProcedureInfo":{}}`},
		{`{"MediaInfo":{"MediaName":"","ClassId":0},"SubAppId":""}`, `{"MediaInfo":{"ClassId":0},"ProcedureInfo":{}}`},
		{`{"SubAppId":1500007120}`, `{"MediaInfo":{},"ProcedureInfo":{},"SubAppId":"1500007120"}`},
		{`{"SubAppId":1.50000712e9}`, `{"MediaInfo":{},"ProcedureInfo":{},"SubAppId":"1500007120"}`},
		{`{"SubAppId":"1500007120"}`, `{"MediaInfo":{},"ProcedureInfo":{},"SubAppId":"1500007120"}`},
		{`{"SubAppId":0}`, `{"MediaInfo":{},"ProcedureInfo":{}}`},
		{
			`{"MediaInfo":{"MediaName":"test","ExpireTime":"2123-10-01T10:00:00Z","StorageRegion":"ap-shanghai","ClassId":1,
				"SourceContext":"` + long + `"},"ProcedureInfo":{"Procedure":"p","SessionContext":"c"},"SubAppId":7}`,
			`{"MediaInfo":{"MediaName":"test","ExpireTime":"2123-10-01T10:00:00Z","StorageRegion":"ap-shanghai","ClassId":1,` +
				`"SourceContext":"` + long + `"},"ProcedureInfo":{"Procedure":"p","SessionContext":"c"},"SubAppId":"7"}`,
		},
	} {
		r, err := parseStart(with(`"Output":{"Vod":`+c.vod+`}`), false)
		if err != nil || len(r.Targets) != 1 || r.Targets[0].Settings != c.want || r.Targets[0].Plugin != pluginVod {
			t.Errorf("%s: %+v, %v", c.vod, r.Targets, err)
		}
	}
}

func TestVodIsRefused(t *testing.T) {
	const vod = "Data.Output.Vod"
	for _, c := range []struct{ output, want string }{
		{`"Vod":1`, vod + " must be an object"},
		{`"Vod":[]`, vod + " must be an object"},
		{`"Vod":{},"Cos":1`, "Data.Output.Cos must be an object"},
		{`"Vod":{"MediaInfo":"x"}`, vod + ".MediaInfo must be an object"},
		{`"Vod":{"ProcedureInfo":1}`, vod + ".ProcedureInfo must be an object"},
		{`"Vod":{"MediaInfo":{"MediaName":1}}`, vod + ".MediaInfo.MediaName must be a string"},
		{`"Vod":{"MediaInfo":{"MediaName":"  "}}`, vod + ".MediaInfo.MediaName must not be blank"},
		{`"Vod":{"MediaInfo":{"StorageRegion":"undefined"}}`, vod + ".MediaInfo.StorageRegion must not be blank"},
		{`"Vod":{"MediaInfo":{"ExpireTime":"null"}}`, vod + ".MediaInfo.ExpireTime must not be blank"},
		{`"Vod":{"ProcedureInfo":{"Procedure":"\t"}}`, vod + ".ProcedureInfo.Procedure must not be blank"},
		{`"Vod":{"MediaInfo":{"ExpireTime":"tomorrow"}}`, vod + ".MediaInfo.ExpireTime must be a time"},
		{`"Vod":{"MediaInfo":{"ExpireTime":1700000000}}`, vod + ".MediaInfo.ExpireTime must be a string"},
		{`"Vod":{"MediaInfo":{"ClassId":"1"}}`, vod + ".MediaInfo.ClassId must be a whole number"},
		{`"Vod":{"MediaInfo":{"ClassId":-1}}`, vod + ".MediaInfo.ClassId must be a whole number from 0"},
		{`"Vod":{"MediaInfo":{"SourceContext":"` + strings.Repeat("x", 251) + `"}}`,
			vod + ".MediaInfo.SourceContext must not be longer than 250"},
		{`"Vod":{"ProcedureInfo":{"SessionContext":"` + strings.Repeat("x", 1001) + `"}}`,
			vod + ".ProcedureInfo.SessionContext must not be longer than 1000"},
		{`"Vod":{"SubAppId":"x"}`, vod + ".SubAppId must be the number of an application"},
		{`"Vod":{"SubAppId":-1}`, vod + ".SubAppId must be a whole number"},
		{`"Vod":{"SubAppId":true}`, vod + ".SubAppId must be a whole number"},
		{`"Vod":{},"Targets":[{}]`, "Data.Output.Targets and Vod exclude each other"},
		{`"Vod":{},"Storage":"files"`, "Data.Output.Storage and Vod exclude each other"},
		{`"Vod":{},"TargetName":"x"`, "Data.Output.TargetName and Vod exclude each other"},
	} {
		_, err := parseStart(with(`"Output":{`+c.output+`}`), false)
		if err == nil {
			t.Errorf("%.200s: accepted, want %q", c.output, c.want)
			continue
		}
		if message := wantCode(t, err, CodeInvalidParam); !strings.Contains(message, c.want) {
			t.Errorf("%.200s: %q, want %q", c.output, message, c.want)
		}
	}
}

// Which storage a Vod goes to: the default one if it is of the plugin, else the one that may use the application, else the only one.
func TestChoiceOfTheVodStorage(t *testing.T) {
	vod := func(name string, subApp int, more ...string) Storage {
		config, err := json.Marshal(map[string]any{"sub_app_id": subApp, "allow_sub_app_ids": more, "secret_key": "k"})
		if err != nil {
			t.Fatal(err)
		}
		return Storage{Name: name, Plugin: pluginVod, Config: config}
	}
	files := Storage{Name: "files", Plugin: "blob", Config: []byte(`{"url":"file:///tmp"}`)}
	one, two, three := vod("one", 1), vod("two", 2, "22"), vod("three", 0, "22", "33")
	for _, c := range []struct {
		storages  []Storage
		otherwise string // the default
		subApp    string
		want      string // a name, or the refusal
	}{
		{[]Storage{files}, "files", ``, "the Vod storage is not configured"},
		{[]Storage{files, one}, "files", ``, "one"},
		{[]Storage{files, one}, "files", `"1"`, "one"},
		{[]Storage{files, one}, "files", `0`, "one"},
		{[]Storage{files, one}, "files", `2`, "Data.Output.Vod.SubAppId is not among"},
		{[]Storage{files, one, two}, "files", ``, "does not say which of 2 storages"},
		{[]Storage{files, one, two}, "files", `2`, "two"},
		{[]Storage{files, one, two}, "files", `"22"`, "two"},
		{[]Storage{files, one, two}, "files", `3`, "does not say which of 2 storages"},
		{[]Storage{files, two, three}, "files", `22`, "does not say which of 2 storages"},
		{[]Storage{files, two, three}, "files", `33`, "three"},
		{[]Storage{files, one, two}, "one", ``, "one"},
		{[]Storage{files, one, two}, "one", `1`, "one"},
		{[]Storage{files, one, two}, "one", `2`, `Data.Output.Vod.SubAppId is not among the applications that the storage "one" may use`},
	} {
		members := ""
		if c.subApp != "" {
			members = `"SubAppId":` + c.subApp
		}
		r, err := parseStart(with(fmt.Sprintf(`"Output":{"Cos":{"Bucket":"b"},"Vod":{%s}}`, members)), false)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Storages: c.storages, DefaultStorage: c.otherwise}
		s, err := o.choose(r.Targets[0])
		got := s.Name
		if err != nil {
			got = wantCode(t, err, CodeInvalidParam)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("SubAppId %s of %d storages, %s the default: %q, want %q", c.subApp, len(c.storages), c.otherwise, got, c.want)
		}
	}
}

// The documented Start, but for a time that is over and what else this release does not have: its worker is told all of it.
func TestStartOfTheDocumentedVod(t *testing.T) {
	h := newHost(t, func(o *Options) {
		o.Storages = append(o.Storages, Storage{Name: "lessons", Plugin: pluginVod, Config: []byte(`{"sub_app_id":1500007120}`)})
	}, nil)
	const documented = `{"RecordURL": "https://example.com/","Output":{"Cos":{"Bucket":"webrecord-xxx"},"Vod":{"MediaInfo":{
		"MediaName":"test","ExpireTime":%q,"StorageRegion":"ap-shanghai","ClassId":1},"ProcedureInfo":{"Procedure":"","SessionContext":""},
		"SubAppId":1500007120}}}`
	_, err := h.Do(context.Background(), "Start", data(documented, "2023-10-01T10:00:00Z"))
	if message := wantCode(t, err, CodeInvalidParam); message != "Data.Output.Vod.MediaInfo.ExpireTime must be in the future" {
		t.Error(message)
	}
	expires := time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)
	answer, err := h.Do(context.Background(), "Start", data(documented, expires))
	if err != nil {
		t.Fatal(err)
	}
	got := h.worker().Spec().Targets[0]
	want := fmt.Sprintf(`{"MediaInfo":{"MediaName":"test","ExpireTime":%q,"StorageRegion":"ap-shanghai","ClassId":1},`+
		`"ProcedureInfo":{},"SubAppId":"1500007120"}`, expires)
	if got.Storage != "lessons" || got.Plugin != pluginVod || string(got.Settings) != want || got.Dir != answer.(Answer).TaskID {
		t.Errorf("the worker is told %s of %s: %s", got.Settings, got.Storage, got.Dir)
	}
}
