package fakevod

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The example of the documentation of Tencent Cloud API 3.0, "Signature v3".
const (
	documentedID   = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
	documentedKey  = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
	documentedBody = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	documentedTime = 1551113065
	documentedSign = "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
)

func documented(t *testing.T) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://cvm.tencentcloudapi.com/", strings.NewReader(documentedBody))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-TC-Timestamp", "1551113065")
	r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+documentedID+"/2019-02-25/cvm/tc3_request, "+
		"SignedHeaders=content-type;host, Signature="+documentedSign)
	return r
}

func TestDocumentedSignature(t *testing.T) {
	canonical := canonicalRequest(documented(t), []string{"content-type", "host"}, []byte(documentedBody))
	if got := sum([]byte(documentedBody)); !strings.HasPrefix(got, "35e9c5b0") || !strings.HasSuffix(got, "f064") {
		t.Errorf("the body's hash is %s", got)
	}
	if got := sum([]byte(canonical)); !strings.HasPrefix(got, "5ffe6a04") || !strings.HasSuffix(got, "7031") {
		t.Errorf("the canonical request's hash is %s", got)
	}
	if got := sign(documentedKey, "2019-02-25", "cvm", documentedTime, canonical); got != documentedSign {
		t.Errorf("the signature is %s", got)
	}
}

// Each change of what was signed, or of who signed it, is refused, with the code that the service has for it.
func TestAuthentication(t *testing.T) {
	const (
		authorizationHeader, timestamp = "Authorization", "X-TC-Timestamp"
		wrong                          = "AuthFailure.SignatureFailure"
	)
	replace := func(old, with string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(authorizationHeader, strings.Replace(r.Header.Get(authorizationHeader), old, with, 1))
		}
	}
	for name, c := range map[string]struct {
		bend func(*http.Request)
		body string
		late time.Duration
		code string
	}{
		"as documented":         {},
		"four minutes late":     {late: 4 * time.Minute},
		"other upper case":      {bend: func(r *http.Request) { r.Header.Set("Content-Type", "Application/JSON; charset=UTF-8") }},
		"a path":                {bend: func(r *http.Request) { r.URL.Path = "/behind/a/proxy" }},
		"another body":          {body: documentedBody + " ", code: wrong},
		"another host":          {bend: func(r *http.Request) { r.Host = "vod.tencentcloudapi.com" }, code: wrong},
		"another type":          {bend: func(r *http.Request) { r.Header.Set("Content-Type", "text") }, code: wrong},
		"another method":        {bend: func(r *http.Request) { r.Method = http.MethodPut }, code: wrong},
		"another time":          {bend: func(r *http.Request) { r.Header.Set(timestamp, "1551113066") }, code: wrong},
		"another service":       {bend: replace("/cvm/", "/vod/"), code: wrong},
		"another key":           {bend: replace(documentedID, "AKIDother"), code: "AuthFailure.SecretIdNotFound"},
		"another signature":     {bend: replace(documentedSign, strings.Repeat("0", 64)), code: wrong},
		"another day":           {bend: replace("2019-02-25", "2019-02-26"), code: "AuthFailure.SignatureExpire"},
		"host is not signed":    {bend: replace("content-type;host", "content-type"), code: wrong},
		"six minutes late":      {late: 6 * time.Minute, code: "AuthFailure.SignatureExpire"},
		"six minutes early":     {late: -6 * time.Minute, code: "AuthFailure.SignatureExpire"},
		"no time":               {bend: func(r *http.Request) { r.Header.Del(timestamp) }, code: "InvalidParameter"},
		"no signature":          {bend: func(r *http.Request) { r.Header.Del(authorizationHeader) }, code: "MissingParameter"},
		"another algorithm":     {bend: replace("TC3-HMAC-SHA256", "HmacSHA1"), code: "AuthFailure.InvalidAuthorization"},
		"a scope that is short": {bend: replace("/cvm/", "/"), code: "AuthFailure.InvalidAuthorization"},
	} {
		t.Run(name, func(t *testing.T) {
			r := documented(t)
			if c.bend != nil {
				c.bend(r)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if c.body != "" {
				body = []byte(c.body)
			}
			failure := authenticate(r, body, "cvm", documentedID, documentedKey, time.Unix(documentedTime, 0).Add(c.late))
			if c.code == "" && failure != nil || c.code != "" && (failure == nil || failure.code != c.code) {
				t.Errorf("%v, want %q", failure, c.code)
			}
		})
	}
}
