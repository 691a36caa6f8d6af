package fakevod

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The signature of Tencent Cloud API 3.0, as its documentation ("Signature v3", TC3-HMAC-SHA256) has it. This is the server's side,
// written without the SDK: it signs what it was sent with the key that it knows, and compares.
const (
	algorithm = "TC3-HMAC-SHA256"
	scopeEnd  = "tc3_request"
	skew      = 5 * time.Minute // of the client's clock
)

// authorization is the parts of an Authorization header.
type authorization struct {
	secretID  string
	date      string // UTC, 2019-02-25
	service   string
	signed    []string // names of headers, lower case, as they were signed
	signature string
}

// parseAuthorization reads "TC3-HMAC-SHA256 Credential=ID/DATE/SERVICE/tc3_request, SignedHeaders=a;b, Signature=HEX".
func parseAuthorization(header string) (authorization, *apiError) {
	malformed := &apiError{"AuthFailure.InvalidAuthorization", "The Authorization header in your request is invalid."}
	fields, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return authorization{}, malformed
	}
	values := map[string]string{}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok || value == "" {
			return authorization{}, malformed
		}
		values[name] = value
	}
	credential := strings.Split(values["Credential"], "/")
	if len(credential) != 4 || credential[3] != scopeEnd || values["SignedHeaders"] == "" || values["Signature"] == "" {
		return authorization{}, malformed
	}
	return authorization{
		secretID: credential[0], date: credential[1], service: credential[2],
		signed: strings.Split(values["SignedHeaders"], ";"), signature: values["Signature"],
	}, nil
}

// canonicalRequest is what is signed of a request: its path counts as "/" whatever it is.
func canonicalRequest(r *http.Request, signed []string, body []byte) string {
	var headers strings.Builder
	for _, name := range signed {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + strings.ToLower(strings.TrimSpace(value)) + "\n")
	}
	payload := body
	if r.Header.Get("X-TC-Content-SHA256") == "UNSIGNED-PAYLOAD" {
		payload = []byte("UNSIGNED-PAYLOAD")
	}
	query := ""
	if r.Method == http.MethodGet {
		query = canonicalQuery(r.URL.Query())
	}
	return strings.Join([]string{r.Method, "/", query, headers.String(), strings.Join(signed, ";"), sum(payload)}, "\n")
}

func canonicalQuery(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }

// sign is the signature of a canonical request made at the time given, in Unix seconds.
func sign(secretKey, date, service string, timestamp int64, canonical string) string {
	text := fmt.Sprintf("%s\n%d\n%s/%s/%s\n%s", algorithm, timestamp, date, service, scopeEnd, sum([]byte(canonical)))
	key := mac([]byte("TC3"+secretKey), date)
	key = mac(key, service)
	key = mac(key, scopeEnd)
	return hex.EncodeToString(mac(key, text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// authenticate refuses a request that was not signed, by a key that is known, for this service, just now.
func authenticate(r *http.Request, body []byte, service, secretID, secretKey string, now time.Time) *apiError {
	if r.Header.Get("Authorization") == "" {
		return &apiError{"MissingParameter", "The request is missing a required header `Authorization`."}
	}
	a, failure := parseAuthorization(r.Header.Get("Authorization"))
	if failure != nil {
		return failure
	}
	timestamp, err := strconv.ParseInt(r.Header.Get("X-TC-Timestamp"), 10, 64)
	if err != nil {
		return &apiError{"InvalidParameter", "The header `X-TC-Timestamp` is not a Unix time."}
	}
	at := time.Unix(timestamp, 0)
	switch {
	case at.Sub(now).Abs() > skew, a.date != at.UTC().Format(time.DateOnly):
		return &apiError{"AuthFailure.SignatureExpire", "The provided credentials have expired. Check whether your clock is right."}
	case a.service != service:
		return &apiError{"AuthFailure.SignatureFailure", "The service of the credential scope is not that of the host."}
	case !slices.Contains(a.signed, "host"), !slices.Contains(a.signed, "content-type"):
		return &apiError{"AuthFailure.SignatureFailure", "host and content-type must be signed."}
	case a.secretID != secretID:
		return &apiError{"AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that your SecretId is correct."}
	}
	want := sign(secretKey, a.date, service, timestamp, canonicalRequest(r, a.signed, body))
	if subtle.ConstantTimeCompare([]byte(want), []byte(a.signature)) != 1 {
		return &apiError{"AuthFailure.SignatureFailure", "The credentials could not be validated. Please check your signature."}
	}
	return nil
}
