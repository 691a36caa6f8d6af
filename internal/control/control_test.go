package control

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadBootstrap(t *testing.T) {
	const good = `{"TaskID":"t","Epoch":2,"Control":["unix:/run/c"],"Token":"abc"}`
	b, err := ReadBootstrap(strings.NewReader(good))
	if err != nil || b.TaskID != "t" || b.Epoch != 2 || b.Token != "abc" || len(b.Control) != 1 || b.Control[0] != "unix:/run/c" {
		t.Errorf("got %v, %v", b, err)
	}
	for name, c := range map[string]struct{ document, want string }{
		"empty":       {``, "not the JSON document"},
		"not JSON":    {`{"Token":"abc"`, "not the JSON document"},
		"no task":     {`{"Epoch":2,"Control":["unix:/c"],"Token":"abc"}`, "no task"},
		"no epoch":    {`{"TaskID":"t","Control":["unix:/c"],"Token":"abc"}`, "no epoch"},
		"no token":    {`{"TaskID":"t","Epoch":2,"Control":["unix:/c"]}`, "no token"},
		"no address":  {`{"TaskID":"t","Epoch":2,"Token":"abc"}`, "no address"},
		"TLS":         {`{"TaskID":"t","Epoch":2,"Control":["tls://host:1"],"Token":"abc"}`, "over TLS is not supported"},
		"other":       {`{"TaskID":"t","Epoch":2,"Control":["host:1"],"Token":"abc"}`, "not of the form"},
		"relative":    {`{"TaskID":"t","Epoch":2,"Control":["unix:c"],"Token":"abc"}`, "not absolute"},
		"long path":   {`{"TaskID":"t","Epoch":2,"Control":["unix:/` + strings.Repeat("c", 107) + `"],"Token":"abc"}`, "at most 107"},
		"long":        {good + strings.Repeat(" ", maxBootstrap), "longer than"},
		"wrong types": {`{"TaskID":1,"Epoch":2,"Control":["unix:/c"],"Token":"abc"}`, "not the JSON document"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadBootstrap(strings.NewReader(c.document))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "abc") {
				t.Errorf("the error quotes the token: %v", err)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	token, hash := NewToken()
	other, otherHash := NewToken()
	if !tokenFits(token, hash) || tokenFits(other, hash) || tokenFits(token, otherHash) {
		t.Error("a token must fit its own hash and no other")
	}
	if tokenFits("", nil) || tokenFits(token, nil) || tokenFits(string(hash), hash) {
		t.Error("no hash, or the hash itself, must let nobody in")
	}
}
