package task

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// with is Data of a Start with one more member, or several.
func with(members string) json.RawMessage {
	return data(`{"RecordURL":"https://example.com/",%s}`, members)
}

// encrypted is Data of a Start of encrypted HLS with one member another one.
func encrypted(member string) string {
	name, _, _ := strings.Cut(member, ":")
	members := []string{`"Muxer":"hls"`, `"EncryptKey":"21834cca41778803e1afba3f41e70c90"`, `"AuthUrl":"https://h/enc.key?t=1"`}
	members = slices.DeleteFunc(members, func(m string) bool { return strings.HasPrefix(m, name+":") })
	return string(with(`"Output":{"Video":{` + strings.Join(append(members, member), ",") + `}}`))
}

// TestEncryptKey: the documented reading, the original's where the configuration says so, and text.
func TestEncryptKey(t *testing.T) {
	for _, c := range []struct {
		text   string
		legacy bool
		want   string
	}{
		{"21834cca41778803e1afba3f41e70c90", false, "\x21\x83\x4c\xca\x41\x77\x88\x03\xe1\xaf\xba\x3f\x41\xe7\x0c\x90"},
		{"21834CCA41778803E1AFBA3F41E70C90", false, "\x21\x83\x4c\xca\x41\x77\x88\x03\xe1\xaf\xba\x3f\x41\xe7\x0c\x90"},
		{"21834cca41778803e1afba3f41e70c90", true, "21834cca41778803"},
		{"sixteen bytes ok", false, "sixteen bytes ok"},
		{"sixteen bytes ok", true, "sixteen bytes ok"},
	} {
		got, err := parseStart(json.RawMessage(encrypted(`"EncryptKey":"`+c.text+`"`)), c.legacy)
		want := control.Video{Muxer: "hls", Key: []byte(c.want), KeyURL: "https://h/enc.key?t=1"}
		if err != nil || !reflect.DeepEqual(got.Video, want) {
			t.Errorf("%q, legacy %v: %q %q, %v", c.text, c.legacy, got.Video.Key, got.Video.KeyURL, err)
		}
	}
}

func TestStartDefaults(t *testing.T) {
	got, err := parseStart(data(simple), false)
	want := Request{
		RecordURL: "https://example.com/lesson", ReadyTimeout: 6 * time.Hour, MaxDuration: 6 * time.Hour, Width: 1280, Height: 720,
		Video: control.Video{Muxer: "mp4"}, Targets: []Destination{{}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestStartWithEverything(t *testing.T) {
	got, err := parseStart(data(`{
		"TaskID":"lesson_1-a","RecordURL":"http://h:8080/p?q=1#f","ManualStart":true,"ReadyTimeout":30,"MaxDurationLimit":36000,
		"Width":2560,"Height":1,"StorageType":"cfs","CallbackURL":"https://h/cb?k=v","Unknown":{"x":[1]},
		"Output":{"Storage":"other","TargetDir":"/a//b/","TargetName":"c","Unknown":1,
			"Video":{"Muxer":"mp4","Fps":60,"Crf":18,"SegmentDuration":2.5,"FrameRate":"constant","EncryptKey":"","AuthUrl":null}},
		"Browser":{"Headers":{"X-A":"1"},"Cookies":[{"Name":"s","Value":"v","Path":"/p"}],"UserAgent":"UA/1","Locale":"zh-CN",
			"Timezone":"Asia/Shanghai","DeviceScaleFactor":2}}`), false)
	want := Request{
		TaskID: "lesson_1-a", RecordURL: "http://h:8080/p?q=1#f", CallbackURL: "https://h/cb?k=v",
		ManualStart: true, ReadyTimeout: 30 * time.Second,
		MaxDuration: 10 * time.Hour, Width: 2560, Height: 2,
		Video: control.Video{Muxer: "mp4", FPS: 60, CRF: 18, SegmentDuration: 2500 * time.Millisecond, ConstantFrameRate: true},
		Browser: control.Browser{
			Headers: map[string]string{"X-A": "1"}, Cookies: []control.Cookie{{Name: "s", Value: "v", Path: "/p"}}, UserAgent: "UA/1",
			Locale: "zh-CN", Timezone: "Asia/Shanghai", DeviceScaleFactor: 2,
		},
		Targets: []Destination{{Storage: "other", Dir: "a/b", DirSet: true, Name: "c"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", reflect.ValueOf(got), err, reflect.ValueOf(want))
	}
}

func TestStartIsRefused(t *testing.T) {
	long := strings.Repeat("x", 851)
	for _, c := range []struct{ data, want string }{
		// The document itself.
		{``, "RecordURL missing"},
		{`null`, "RecordURL missing"},
		{`{}`, "RecordURL missing"},
		{`{"RecordURL":""}`, "RecordURL missing"},
		{`{"RecordURL":null}`, "RecordURL missing"},
		{`[]`, "Data must be an object"},
		{`"x"`, "Data must be an object"},
		// The page.
		{`{"RecordURL":7}`, "Data.RecordURL must be a string"},
		{`{"RecordURL":"example.com"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"file:///etc/passwd"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"javascript:alert(1)"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"chrome://version"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"https://"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"https://:80/"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"//example.com"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"https://example.com/ --x"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"https://example.com/\n"}`, "Data.RecordURL must be an http or https URL"},
		{`{"RecordURL":"https://user@example.com/"}`, "Data.RecordURL must not contain credentials"},
		{`{"RecordURL":"https://user:pw@example.com/"}`, "Data.RecordURL must not contain credentials"},
		{`{"RecordURL":"https://example.com/` + strings.Repeat("x", maxURL) + `"}`, "Data.RecordURL must not be longer than"},
		// The plain members.
		{string(with(`"ManualStart":"yes"`)), "Data.ManualStart must be true or false"},
		{string(with(`"Width":"1280"`)), "Data.Width must be a whole number"},
		{string(with(`"Width":-1`)), "Data.Width must be a whole number from 0 to 2560"},
		{string(with(`"Width":2561`)), "Data.Width must be a whole number from 0 to 2560"},
		{string(with(`"Height":720.5`)), "Data.Height must be a whole number from 0 to 2560"},
		{string(with(`"Height":1e300`)), "Data.Height must be a whole number from 0 to 2560"},
		{string(with(`"Height":true`)), "Data.Height must be a whole number"},
		{string(with(`"MaxDurationLimit":36001`)), "Data.MaxDurationLimit must be a whole number from 0 to 36000"},
		{string(with(`"MaxDurationLimit":-1`)), "Data.MaxDurationLimit must be a whole number from 0 to 36000"},
		{string(with(`"ReadyTimeout":-1`)), "Data.ReadyTimeout must be a whole number from 0 to 36000"},
		{string(with(`"StorageType":"s3"`)), `Data.StorageType must be "cfs" or "cos"`},
		{string(with(`"StorageType":"cos"`)), "not configured"},
		{string(with(`"StorageType":1`)), "Data.StorageType must be a string"},
		{string(with(`"CallbackURL":"http://user:word@h/cb"`)), "Data.CallbackURL must not contain credentials"},
		{string(with(`"CallbackURL":"http://h/` + strings.Repeat("x", maxURL) + `"`)), "Data.CallbackURL must not be longer"},
		{string(with(`"CallbackURL":"http:///cb"`)), "Data.CallbackURL must be an http or https URL"},
		{string(with(`"CallbackURL":"ftp://h/cb"`)), "Data.CallbackURL must be an http or https URL"},
		{string(with(`"CallbackURL":1`)), "Data.CallbackURL must be a string"},
		{string(with(`"TaskID":""`)), "Data.TaskID must be 1 to 64 of"},
		{string(with(`"TaskID":"a b"`)), "Data.TaskID must be 1 to 64 of"},
		{string(with(`"TaskID":"../x"`)), "Data.TaskID must be 1 to 64 of"},
		{string(with(`"TaskID":"` + strings.Repeat("a", 65) + `"`)), "Data.TaskID must be 1 to 64 of"},
		{string(with(`"TaskID":1`)), "Data.TaskID must be a string"},
		// The output.
		{string(with(`"Output":[]`)), "Data.Output must be an object"},
		{string(with(`"Output":{"Vod":1}`)), "Data.Output.Vod must be an object"},
		{string(with(`"Output":{"Video":"mp4"}`)), "Data.Output.Video must be an object"},
		{string(with(`"Output":{"Video":{"Muxer":"webm"}}`)), `Data.Output.Video.Muxer must be "mp4" or "hls"`},
		{string(with(`"Output":{"Video":{"EncryptKey":"00"}}`)), `Data.Output.Video.EncryptKey is only for Muxer "hls"`},
		{string(with(`"Output":{"Video":{"AuthUrl":"http://h/"}}`)), `Data.Output.Video.AuthUrl is only for Muxer "hls"`},
		{encrypted(`"EncryptKey":"00"`), "EncryptKey must be 32 hexadecimal digits, or 16 bytes of text"},
		{encrypted(`"EncryptKey":"zz834cca41778803e1afba3f41e70c90"`), "EncryptKey must be 32 hexadecimal digits, or 16 bytes of text"},
		{encrypted(`"EncryptKey":7`), "Data.Output.Video.EncryptKey must be a string"},
		{encrypted(`"AuthUrl":""`), "Data.Output.Video.AuthUrl must be there where EncryptKey is"},
		{encrypted(`"EncryptKey":null`), "Data.Output.Video.EncryptKey must be there where AuthUrl is"},
		{encrypted(`"AuthUrl":"file:///etc/passwd"`), "Data.Output.Video.AuthUrl must be an http or https URL"},
		{encrypted(`"AuthUrl":"https://h/\"x"`), "Data.Output.Video.AuthUrl must not contain quotes"},
		{encrypted(`"AuthUrl":"https://h/\u0085x"`), "Data.Output.Video.AuthUrl must not contain quotes or control characters"},
		{encrypted(`"AuthUrl":"https://h/\n#EXT-X-ENDLIST"`), "Data.Output.Video.AuthUrl must be an http or https URL"},
		{string(with(`"Output":{"Video":{"Fps":"30"}}`)), "Data.Output.Video.Fps must be a whole number"},
		{string(with(`"Output":{"Video":{"Fps":0}}`)), "Data.Output.Video.Fps must be a whole number from 1 to 60"},
		{string(with(`"Output":{"Video":{"Fps":61}}`)), "Data.Output.Video.Fps must be a whole number from 1 to 60"},
		{string(with(`"Output":{"Video":{"Fps":29.97}}`)), "Data.Output.Video.Fps must be a whole number from 1 to 60"},
		{string(with(`"Output":{"Video":{"Crf":52}}`)), "Data.Output.Video.Crf must be a whole number from 1 to 51"},
		{string(with(`"Output":{"Video":{"Bitrate":1}}`)), "Data.Output.Video.Bitrate must be a whole number from"},
		{string(with(`"Output":{"Video":{"Crf":20,"Bitrate":1000000}}`)), "Data.Output.Video.Crf and Bitrate exclude each other"},
		{string(with(`"Output":{"Video":{"SegmentDuration":0.5}}`)), "Data.Output.Video.SegmentDuration must be a number from 1 to 60"},
		{string(with(`"Output":{"Video":{"SegmentDuration":"2"}}`)), "Data.Output.Video.SegmentDuration must be a number"},
		{string(with(`"Output":{"Video":{"FrameRate":"both"}}`)), `Data.Output.Video.FrameRate must be "variable" or "constant"`},
		{string(with(`"Output":{"TargetDir":"a/../b"}`)), `Data.Output.TargetDir must not contain "." or ".."`},
		{string(with(`"Output":{"TargetDir":".."}`)), `Data.Output.TargetDir must not contain "." or ".."`},
		{string(with(`"Output":{"TargetDir":"a\\b"}`)), "Data.Output.TargetDir must not contain control characters or backslashes"},
		{string(with(`"Output":{"TargetName":"a\u0000"}`)), "Data.Output.TargetName must not contain control characters"},
		{string(with(`"Output":{"TargetName":"a\n"}`)), "Data.Output.TargetName must not contain control characters"},
		{string(with(`"Output":{"TargetName":"a\u0085"}`)), "Data.Output.TargetName must not contain control characters"},
		{string(with(`"Output":{"TargetName":"` + long + `"}`)), "must not be longer than 850 bytes"},
		{string(with(`"Output":{"TargetDir":"` + long[:800] + `","TargetName":"` + long[:100] + `"}`)), "must not be longer than 850"},
		{string(with(`"Output":{"TargetName":"a/"}`)), "Data.Output.TargetName must name a file"},
		{string(with(`"Output":{"TargetName":"//"}`)), "Data.Output.TargetName must name a file"},
		{string(with(`"Output":{"Targets":{}}`)), "Data.Output.Targets must be an array"},
		{string(with(`"Output":{"Targets":[]}`)), "Data.Output.Targets must have 1 to 8 entries"},
		{string(with(`"Output":{"Targets":[{},{},{},{},{},{},{},{},{}]}`)), "Data.Output.Targets must have 1 to 8 entries"},
		{string(with(`"Output":{"Targets":[1]}`)), "Data.Output.Targets[0] must be an object"},
		{string(with(`"Output":{"Targets":[null]}`)), "Data.Output.Targets[0] must be an object"},
		{string(with(`"Output":{"Targets":[{"Storage":1}]}`)), "Data.Output.Targets[0].Storage must be a string"},
		{string(with(`"Output":{"Targets":[{}],"Storage":"other"}`)), "Data.Output.Storage and Targets exclude each other"},
		// The browser.
		{string(with(`"Browser":1`)), "Data.Browser must be an object"},
		{string(with(`"Browser":{"Headers":[]}`)), "Data.Browser.Headers must be an object of strings"},
		{string(with(`"Browser":{"Headers":{"A":1}}`)), "Data.Browser.Headers must be an object of strings"},
		{string(with(`"Browser":{"Headers":{"A B":"1"}}`)), "Data.Browser.Headers contains a name that no header can have"},
		{string(with(`"Browser":{"Headers":{"HOST":"1"}}`)), "Data.Browser.Headers must not contain HOST"},
		{string(with(`"Browser":{"Headers":{"A":"1\r\nB: 2"}}`)), "Data.Browser.Headers.A must be"},
		{string(with(`"Browser":{"Cookies":{}}`)), "Data.Browser.Cookies must be an array"},
		{string(with(`"Browser":{"Cookies":[{"Value":"v"}]}`)), "Data.Browser.Cookies[0].Name must be"},
		{string(with(`"Browser":{"Cookies":[{"Name":"n","Value":"v;w"}]}`)), "Data.Browser.Cookies[0].Value must be"},
		{string(with(`"Browser":{"Cookies":[{"Name":"n","Path":"p"}]}`)), "Data.Browser.Cookies[0].Path must begin with a slash"},
		{string(with(`"Browser":{"UserAgent":"a\u0000"}`)), "Data.Browser.UserAgent must be"},
		{string(with(`"Browser":{"Locale":"zh CN"}`)), "Data.Browser.Locale must be"},
		{string(with(`"Browser":{"Timezone":"Mars/Olympus"}`)), "Data.Browser.Timezone must be"},
		{string(with(`"Browser":{"Timezone":"Local"}`)), "Data.Browser.Timezone must be"},
		{string(with(`"Browser":{"Timezone":"../../etc/passwd"}`)), "Data.Browser.Timezone must be"},
		{string(with(`"Browser":{"DeviceScaleFactor":0}`)), "Data.Browser.DeviceScaleFactor must be a number from 0.25 to 8"},
		{string(with(`"Browser":{"DeviceScaleFactor":"2"}`)), "Data.Browser.DeviceScaleFactor must be a number"},
	} {
		_, err := parseStart(json.RawMessage(c.data), false)
		if err == nil {
			t.Errorf("%.200s: accepted, want %q", c.data, c.want)
			continue
		}
		if message := wantCode(t, err, CodeInvalidParam); !strings.Contains(message, c.want) {
			t.Errorf("%.200s: %q, want %q", c.data, message, c.want)
		}
	}
}

// A secret in a member that is wrong must not come back in the message, which is logged.
func TestRefusalsDoNotQuote(t *testing.T) {
	const canary = "CANARY"
	for _, members := range []string{
		`"RecordURL":"ftp://h/?t=CANARY"`, `"RecordURL":"https://CANARY@h/"`, `"Browser":{"Headers":{"A":"CANARY\n"}}`,
		`"Browser":{"Cookies":[{"Name":"n","Value":"CANARY;"}]}`, `"Output":{"Video":{"EncryptKey":"CANARY"}}`,
	} {
		if _, err := parseStart(with(members), false); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", members, err)
		}
	}
}

// Numbers are taken however JSON writes them, and null stands for an absent member, as with the original.
func TestWaysOfWriting(t *testing.T) {
	got, err := parseStart(with(`"Width":1.28e3,"Height":720.0,"ManualStart":null,"Output":null,"Browser":{"Headers":null}`), false)
	if err != nil || got.Width != 1280 || got.Height != 720 {
		t.Errorf("%+v, %v", got, err)
	}
	for size, want := range map[int]int{0: 1280, 1: 2, 2: 2, 3: 3, 2559: 2559, 2560: 2560} {
		if got, err := parseStart(with(fmt.Sprintf(`"Width":%d`, size)), false); err != nil || got.Width != want {
			t.Errorf("width %d became %d, %v", size, got.Width, err)
		}
	}
	if got, err := parseStart(with(`"MaxDurationLimit":0`), false); err != nil || got.MaxDuration != 6*time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := parseStart(with(`"MaxDurationLimit":60`), false); err != nil || got.ReadyTimeout != time.Minute {
		t.Errorf("the page may take longer to begin than the recording may last: %+v, %v", got, err)
	}
	if got, err := parseStart(with(`"Output":{"Targets":[{"Storage":"other","TargetName":"x.mp4"}]}`), false); err != nil ||
		!slices.Equal(got.Targets, []Destination{{Storage: "other", Name: "x.mp4"}}) {
		t.Errorf("%+v, %v", got.Targets, err)
	}
	if got, err := parseStart(with(`"Output":{"Targets":[{},{"Storage":"other","TargetDir":"/a"}]}`), false); err != nil ||
		!slices.Equal(got.Targets, []Destination{{}, {Storage: "other", Dir: "a", DirSet: true}}) {
		t.Errorf("%+v, %v", got.Targets, err)
	}
}

func TestNames(t *testing.T) {
	begin := time.UnixMilli(1621406865789)
	for _, c := range []struct{ members, dir, main string }{
		{``, "id", "1621406865789.mp4"},
		{`"TargetDir":""`, "id", "1621406865789.mp4"},
		{`"TargetDir":"/"`, "", "1621406865789.mp4"},
		{`"TargetDir":"11234/"`, "11234", "1621406865789.mp4"},
		{`"TargetDir":"//a///b//"`, "a/b", "1621406865789.mp4"},
		{`"TargetName":"record-file-name.mp4"`, "id", "record-file-name.mp4"},
		{`"TargetName":"record"`, "id", "record.mp4"},
		{`"TargetName":"record.v2"`, "id", "record.v2.mp4"},
		{`"TargetName":"RECORD.MP4"`, "id", "RECORD.MP4"},
		{`"TargetName":"/x//y"`, "id/x", "y.mp4"},
		{`"TargetDir":"/","TargetName":"x/y.mp4"`, "x", "y.mp4"},
		{`"TargetName":"课程 1…a..b.mp4"`, "id", "课程 1…a..b.mp4"},
		{`"Video":{"Muxer":"hls"}`, "id", "playlist.m3u8"},
		{`"Video":{"Muxer":"hls"},"TargetDir":"a","TargetName":"b/c"`, "a/b", "c.m3u8"},
		{`"Video":{"Muxer":"hls"},"TargetName":"d.M3U8"`, "id", "d.M3U8"},
	} {
		r, err := parseStart(with(`"Output":{`+c.members+`}`), false)
		if err != nil {
			t.Errorf("%s: %v", c.members, err)
			continue
		}
		if dir, main := r.Targets[0].resolve("id", begin, r.Video.Muxer); dir != c.dir || main != c.main {
			t.Errorf("%s: %q in %q, want %q in %q", c.members, main, dir, c.main, c.dir)
		}
	}
}

// Whatever Data holds, it is understood or refused with a reason that names the place; and that does not hang on how the
// same document is written.
func FuzzStart(f *testing.F) {
	for _, seed := range []string{
		simple, `{"RecordURL":"https://h/","Width":1.28e3,"Height":null,"Unknown":[{}]}`, `[]`, `null`, `{"RecordURL":`,
		`{"RecordURL":"https://[::1]:8080/?a=\ud800","TaskID":"a","ManualStart":true,"ReadyTimeout":1e1}`,
		string(with(`"Output":{"TargetDir":"a/./b","TargetName":"..","Video":{"Fps":1e9}},"Browser":{"Cookies":[{}]}`)),
		string(with(`"Output":{"Targets":[{"Storage":"other","TargetName":"/x//y.MP4"}],"Video":{"FrameRate":"constant","Crf":20}}`)),
		string(with(`"Output":{"Vod":{"MediaInfo":{"MediaName":"课","ClassId":1e0,"ExpireTime":"2123-01-01T00:00:00Z"},"SubAppId":"7"}}`)),
		string(with(`"Output":{"Cos":{"Domain":"h:80","Bucket":"b-1","Region":"r","TargetDir":"/x//y","TargetName":"z.MP4"}}`)),
		string(with(`"Browser":{"Headers":{"A":1,"A":"x","B":null},"Timezone":"UTC","Locale":"de-AT","DeviceScaleFactor":0.5}`)),
		string(with(`"Browser":{"Headers":{"A":"x"},"Headers":{"B":"y"},"Cookies":[{"Name":"n","Value":"v","Path":"/"}]}`)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseStart(json.RawMessage(text), false)
		again, againErr := parseStart(json.RawMessage(rewritten(text)), false)
		if (err == nil) != (againErr == nil) || err == nil && !reflect.DeepEqual(r, again) {
			t.Errorf("%q leads to %+v, %v; written another way to %+v, %v", text, r, err, again, againErr)
		}
		if err != nil {
			message := wantCode(t, err, CodeInvalidParam)
			if message != "RecordURL missing" && !regexp.MustCompile(`^Data[.\[ ]`).MatchString(message) {
				t.Errorf("%q is refused without naming the place: %q", text, message)
			}
			return
		}
		dir, main := r.Targets[0].resolve("id", time.Now(), r.Video.Muxer)
		for part := range strings.SplitSeq(dir+"/"+main, "/") {
			if part == ".." || part == "." || strings.ContainsAny(part, "\\\x00") {
				t.Errorf("%q leads to %q in %q", text, main, dir)
			}
		}
		if r.Width < 2 || r.Width > maxSize || r.Height < 2 || r.Height > maxSize || r.MaxDuration <= 0 || r.ReadyTimeout <= 0 {
			t.Errorf("%q leads to %+v", text, r)
		}
	})
}

// rewritten is the same document in other words: its members in another order, its characters escaped. What is no JSON
// stays as it is.
func rewritten(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var document any
	if d.Decode(&document) != nil || d.More() || !json.Valid([]byte(text)) {
		return text
	}
	out, err := json.Marshal(document)
	if err != nil {
		return text
	}
	return string(out)
}
