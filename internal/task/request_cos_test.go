package task

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/recordhost/recordhost/internal/control"
)

func TestCosIsPassedOn(t *testing.T) {
	for _, c := range []struct {
		cos  string
		want Destination
	}{
		{`{}`, Destination{Plugin: pluginCos}},
		{`{"Domain":null,"Bucket":"","Region":"","Unknown":1,"Storage":7}`, Destination{Plugin: pluginCos}},
		{`{"Domain":"http://cdn.example.com:81"}`, Destination{Plugin: pluginCos, Settings: `{"Domain":"http://cdn.example.com:81"}`}},
		{
			`{"Domain":"abc.xxx.com","Bucket":"webrecord-1250000000","Region":"ap-shanghai",
				"TargetDir":"/11234//x/","TargetName":"a b.mp4"}`,
			Destination{
				Plugin: pluginCos, Settings: `{"Domain":"abc.xxx.com","Bucket":"webrecord-1250000000","Region":"ap-shanghai"}`,
				Dir: "11234/x", DirSet: true, Name: "a b.mp4",
			},
		},
	} {
		r, err := parseStart(with(`"Output":{"Cos":`+c.cos+`}`), false)
		if err != nil || !reflect.DeepEqual(r.Targets, []Destination{c.want}) {
			t.Errorf("%s: %+v, %v, want %+v", c.cos, r.Targets, err, c.want)
		}
	}
}

func TestCosIsRefused(t *testing.T) {
	const cos = "Data.Output.Cos"
	for _, c := range []struct{ output, want string }{
		{`"Cos":1`, cos + " must be an object"},
		{`"Cos":[]`, cos + " must be an object"},
		{`"Cos":{"Bucket":1}`, cos + ".Bucket must be a string"},
		{`"Cos":{"Region":{}}`, cos + ".Region must be a string"},
		{`"Cos":{"Domain":true}`, cos + ".Domain must be a string"},
		{`"Cos":{"Domain":"a b"}`, cos + ".Domain must be the name of a host"},
		{`"Cos":{"Domain":"ftp://cdn.example.com"}`, cos + ".Domain must be the name of a host"},
		{`"Cos":{"Domain":"cdn.example.com/x"}`, cos + ".Domain must be the name of a host"},
		{`"Cos":{"Domain":"cdn.example.com?x"}`, cos + ".Domain must be the name of a host"},
		{`"Cos":{"Domain":"user@cdn.example.com"}`, cos + ".Domain must be the name of a host"},
		{`"Cos":{"TargetDir":"../x"}`, cos + `.TargetDir must not contain "." or ".."`},
		{`"Cos":{"TargetName":"x/"}`, cos + ".TargetName must name a file"},
		{`"Cos":{"TargetName":"` + strings.Repeat("x", 851) + `"}`, cos + ".TargetName and TargetDir must not be longer than 850 bytes"},
		{`"Cos":{},"Targets":[{}]`, "Data.Output.Targets and Cos exclude each other"},
		{`"Cos":{},"Storage":"files"`, "Data.Output.Storage and Cos exclude each other"},
		{`"Cos":{},"TargetName":"x"`, "Data.Output.TargetName and Cos exclude each other"},
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

// Which storage a Cos goes to: the default one if it is of the plugin, else the one that may use the bucket, else the only one.
func TestChoiceOfTheCosStorage(t *testing.T) {
	cos := func(name, bucket, region string, more ...string) Storage {
		config, err := json.Marshal(map[string]any{
			"bucket": bucket, "region": region, "allow_buckets": more, "allow_regions": []string{"eu-frankfurt"}, "secret_key": "k",
		})
		if err != nil {
			t.Fatal(err)
		}
		return Storage{Name: name, Plugin: pluginCos, Config: config}
	}
	files := Storage{Name: "files", Plugin: "blob", Config: []byte(`{"url":"file:///tmp"}`)}
	one, two := cos("one", "one-1", "ap-shanghai"), cos("two", "two-1", "ap-beijing", "both-1")
	three := cos("three", "three-1", "ap-beijing", "both-1")
	broken := Storage{Name: "broken", Plugin: pluginCos, Config: []byte(`x`)}
	for _, c := range []struct {
		storages       []Storage
		otherwise      string // the default
		bucket, region string
		want           string // a name, or the refusal
	}{
		{[]Storage{files}, "files", "", "", "Data.Output.Cos cannot be used: the Cos storage is not configured"},
		{[]Storage{files, one}, "files", "", "", "one"},
		{[]Storage{files, one}, "files", "one-1", "ap-shanghai", "one"},
		{[]Storage{files, one}, "files", "", "eu-frankfurt", "one"},
		{[]Storage{files, one}, "files", "two-1", "", "Data.Output.Cos.Bucket is not among"},
		{[]Storage{files, one}, "files", "one-1", "ap-beijing", "Data.Output.Cos.Region is not among"},
		{[]Storage{files, one, two}, "files", "", "", "does not say which of 2 storages"},
		{[]Storage{files, one, two}, "files", "two-1", "", "two"},
		{[]Storage{files, one, two}, "files", "both-1", "ap-beijing", "two"},
		{[]Storage{files, one, two}, "files", "other-1", "", "does not say which of 2 storages"},
		{[]Storage{files, two, three}, "files", "both-1", "", "does not say which of 2 storages"},
		{[]Storage{files, two, three}, "files", "three-1", "", "three"},
		{[]Storage{files, one, two}, "one", "", "", "one"},
		{[]Storage{files, one, two}, "one", "two-1", "", `Data.Output.Cos.Bucket is not among the buckets that the storage "one" may use`},
		{[]Storage{files, broken}, "files", "one-1", "", "Data.Output.Cos.Bucket is not among"},
	} {
		r, err := parseStart(with(fmt.Sprintf(`"Output":{"Cos":{"Bucket":%q,"Region":%q}}`, c.bucket, c.region)), false)
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
			t.Errorf("%q in %q of %d storages, %s the default: %q, want %q", c.bucket, c.region, len(c.storages), c.otherwise, got, c.want)
		}
	}
}

// The worker is told all of it, also the one of a host that comes later.
func TestStartOfTheDocumentedCos(t *testing.T) {
	config := []byte(`{"bucket":"webrecord-1250000000","region":"ap-shanghai"}`)
	h := newHost(t, func(o *Options) {
		o.Storages = append(o.Storages, Storage{Name: "lessons", Plugin: pluginCos, Config: config})
	}, nil)
	answer, err := h.Do(context.Background(), "Start", data(`{"RecordURL": "https://example.com/","Output":{"Cos":{"Domain":"abc.xxx.com",
		"Bucket":"webrecord-1250000000","Region":"ap-shanghai","TargetDir":"11234/","TargetName":"record-file-name.mp4"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := control.Target{
		Storage: "lessons", Plugin: pluginCos, Config: config, Dir: "11234", Main: "record-file-name.mp4",
		Settings: []byte(`{"Domain":"abc.xxx.com","Bucket":"webrecord-1250000000","Region":"ap-shanghai"}`),
	}
	if got := h.worker().Spec().Targets[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("the worker is told %+v, %s", reflect.ValueOf(got), got.Settings)
	}
	r, err := h.read(context.Background(), answer.(Answer).TaskID)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := h.specOf(context.Background(), r)
	if err != nil || !reflect.DeepEqual(spec.Targets[0], want) {
		t.Errorf("the next worker is told %+v, %v", reflect.ValueOf(spec.Targets[0]), err)
	}
	if _, err := h.Do(context.Background(), "Start", with(`"Output":{"Cos":{"Bucket":"other-1250000000"}}`)); err == nil {
		t.Error("another bucket was accepted")
	} else if message := wantCode(t, err, CodeInvalidParam); !strings.Contains(message, "Data.Output.Cos.Bucket") {
		t.Error(message)
	}
	if answer, err := h.Do(context.Background(), "Start", with(`"Output":{"Cos":{}}`)); err != nil {
		t.Error(err)
	} else if got := h.worker().Spec().Targets[0]; got.Storage != "lessons" || got.Dir != answer.(Answer).TaskID || len(got.Settings) != 0 {
		t.Errorf("an empty Cos leads to %+v", reflect.ValueOf(got))
	}
}
