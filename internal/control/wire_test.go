package control

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

// fill sets every field below v to a value of its own, so that a field which the wire forgets is seen.
func fill(t *testing.T, v reflect.Value, next *int64) {
	t.Helper()
	*next++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(*next, 0).UTC()))
			return
		}
		for _, field := range v.Fields() {
			fill(t, field, next)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *next))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*next)
	case reflect.Uint64:
		v.SetUint(uint64(*next))
	case reflect.Float64:
		v.SetFloat(float64(*next) + 0.5)
	case reflect.Uint8:
		v.SetUint(uint64(*next % 256))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), next)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, next)
			fill(t, value, next)
			v.SetMapIndex(key, value)
		}
	default:
		t.Fatalf("a field has kind %s, which this test does not fill", v.Kind())
	}
}

// overWire encodes and decodes m.
func overWire[M proto.Message](t *testing.T, m, into M) M {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
	return into
}

func TestSpecCrossesTheWireWhole(t *testing.T) {
	var want Spec
	var next int64
	fill(t, reflect.ValueOf(&want).Elem(), &next)
	got := specFromWire(overWire(t, specToWire(want), &controlv1.Spec{}))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", reflect.ValueOf(got), reflect.ValueOf(want))
	}
}

func bodies() []Body {
	return []Body{
		Loaded{}, Started{}, Paused{}, Resumed{}, Refreshed{}, Gap{}, Restart{}, Stopping{}, Whole{}, Delivered{}, Failed{}, Done{},
	}
}

func TestEventsCrossTheWireWhole(t *testing.T) {
	for _, empty := range bodies() {
		t.Run(fmt.Sprintf("%T", empty), func(t *testing.T) {
			body := reflect.New(reflect.TypeOf(empty)).Elem()
			var next int64
			fill(t, body, &next)
			if _, ok := empty.(Stopping); ok {
				body.Set(reflect.ValueOf(Stopping{Reason: ReasonLimit}))
			}
			want := Event{
				Number: 7, Time: time.Unix(99, 0).UTC(), Applied: 3, Body: body.Interface().(Body),
			}
			fill(t, reflect.ValueOf(&want.Progress).Elem(), &next)
			got := eventFromWire(overWire(t, eventToWire(want), &controlv1.Event{}))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// An event of a later release has a body that this one does not know: it must arrive, to be acknowledged.
func TestUnknownEventArrives(t *testing.T) {
	got := eventFromWire(&controlv1.Event{Number: 4})
	if got.Number != 4 || got.Body != nil {
		t.Errorf("got %+v, want number 4 without a body", got)
	}
}

func TestEnumsCrossTheWire(t *testing.T) {
	for _, k := range []CommandKind{CommandPause, CommandResume, CommandRefresh, CommandStop} {
		want := Command{Number: 5, Kind: k, Asked: time.Unix(9, 1).UTC()}
		if got := commandFromWire(overWire(t, commandToWire(want), &controlv1.Command{})); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for _, r := range []Reason{ReasonStop, ReasonLimit, ReasonPage, ReasonFailed} {
		if got := reasonFromWire(reasonToWire(r)); got != r {
			t.Errorf("got %q, want %q", got, r)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "s3cr3t"
	spec := Spec{
		TaskID: "t", RecordURL: "https://example.com/?token=" + secret,
		Browser: Browser{
			Headers: map[string]string{"Authorization": secret}, Cookies: []Cookie{{Name: "session", Value: secret}},
		},
		Video:   Video{Key: []byte(secret), KeyURL: "https://example.com/?token=" + secret},
		Targets: []Target{{Config: []byte(secret), Env: map[string]string{"KEY": secret}, Settings: []byte(secret)}},
	}
	boot := Bootstrap{TaskID: "t", Epoch: 1, Token: secret}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	for _, v := range []any{spec, spec.Video, spec.Browser, spec.Browser.Cookies, spec.Targets[0], spec.Targets, boot} {
		logger.Info("x", "v", v)
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, secret) {
				t.Errorf("%s of %T prints the secret: %s", format, v, text)
			}
		}
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("the log holds the secret: %s", log.String())
	}
}
