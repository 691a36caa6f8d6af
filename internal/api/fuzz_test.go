package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Whatever is posted, it is answered: as an action, or as what is none. Which of the two, and which action, does not hang
// on how the same document is written.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"Action":"Start","Data":{"RecordURL":"https://h/"}}`, `{"Action":"Stop","Data":null}`, `{"Data":[1e400],"Action":"\u0053"}`,
		`{}`, `{"Action":7}`, `{"Action":null}`, `{"Action":1,"Action":"List"}`, `[]`, `null`, `{"Action"`, "", "\xff\xfe{}",
		strings.Repeat(`{"Data":`, 3000) + "1" + strings.Repeat("}", 3000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		actions := &fake{answer: struct{}{}}
		w := post(serve(t, Options{Actions: actions}), "/", string(body))
		answer := members(t, w)
		code, _ := answer["ErrorCode"].(string)
		switch {
		case w.Code == http.StatusRequestEntityTooLarge && code == codeTooLarge && len(body) > maxBody:
		case w.Code == http.StatusBadRequest && code == codeInvalidRequest:
		case w.Code == http.StatusOK && code == "InvalidParam" && strings.HasPrefix(answer["ErrorMessage"].(string), "Action "):
		case w.Code == http.StatusOK && code == "" && actions.calls == 1:
		default:
			t.Errorf("%q: %d %v", body, w.Code, answer)
		}

		var document any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if len(body) > maxBody || !json.Valid(body) || d.Decode(&document) != nil {
			return
		}
		again, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		action, data, err := decode(body)
		action2, data2, err2 := decode(again)
		if action != action2 || (err == nil) != (err2 == nil) || !same(t, data, data2) {
			t.Errorf("%q is %q with %q, %v; written another way %q with %q, %v", body, action, data, err, action2, data2, err2)
		}
	})
}

// same tells whether two texts are the same JSON, or both none at all.
func same(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	read := func(text json.RawMessage) []byte {
		var v any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	return bytes.Equal(read(a), read(b))
}
