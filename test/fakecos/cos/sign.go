package cos

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// skew is by how much the clock of a client may be wrong.
const skew = 15 * time.Minute

// claim is a signature as a request carries it (tencentcloud.com/document/product/436/7778).
type claim struct {
	secretID  string
	signTime  string // "begin;end", Unix seconds
	keyTime   string
	headers   []string // names, lower case
	params    []string
	signature string // hexadecimal
}

// readClaim reads the signature from the header Authorization or, of a pre-signed URL, from the query.
func readClaim(r *http.Request) (claim, bool) {
	get := r.URL.Query().Get
	if text := r.Header.Get("Authorization"); text != "" {
		fields := map[string]string{}
		for field := range strings.SplitSeq(text, "&") {
			name, value, _ := strings.Cut(field, "=")
			fields[name] = value
		}
		get = func(name string) string { return fields[name] }
	}
	c := claim{
		secretID: get("q-ak"), signTime: get("q-sign-time"), keyTime: get("q-key-time"), headers: list(get("q-header-list")),
		params: list(get("q-url-param-list")), signature: get("q-signature"),
	}
	return c, get("q-sign-algorithm") == "sha1" && c.secretID != "" && c.signature != ""
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ";")
}

// expected is the signature that a request must have under these keys.
func (c claim) expected(secretKey string, r *http.Request) string {
	params := map[string]string{}
	for name, values := range r.URL.Query() {
		params[strings.ToLower(encode(name))] = encode(strings.Join(values, ","))
	}
	headers := map[string]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(encode(name))] = encode(strings.Join(values, ","))
	}
	headers["host"] = encode(r.Host)
	if r.ContentLength >= 0 {
		headers["content-length"] = strconv.FormatInt(r.ContentLength, 10)
	}
	if len(r.TransferEncoding) > 0 {
		headers["transfer-encoding"] = encode(strings.Join(r.TransferEncoding, ","))
	}
	text := strings.ToLower(r.Method) + "\n" + r.URL.Path + "\n" + form(c.params, params) + "\n" + form(c.headers, headers) + "\n"
	return sign(secretKey, c.signTime, c.keyTime, text)
}

// form joins the values of names, in the order of the names.
func form(names []string, values map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(slices.Values(names)) {
		pairs = append(pairs, name+"="+values[name])
	}
	return strings.Join(pairs, "&")
}

// sign signs the text that stands for a request.
func sign(secretKey, signTime, keyTime, text string) string {
	sum := sha1.Sum([]byte(text))
	return mac(mac(secretKey, keyTime), "sha1\n"+signTime+"\n"+hex.EncodeToString(sum[:])+"\n")
}

func mac(key, text string) string {
	h := hmac.New(sha1.New, []byte(key))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// encode is the percent-encoding of RFC 3986, of everything but unreserved characters.
func encode(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// validity refuses a signature whose time is over or not begun.
func (c claim) validity(now time.Time) *failure {
	begin, end, ok := strings.Cut(c.signTime, ";")
	from, fromErr := strconv.ParseInt(begin, 10, 64)
	to, toErr := strconv.ParseInt(end, 10, 64)
	switch {
	case !ok || fromErr != nil || toErr != nil || c.keyTime == "":
		return denied("AccessDenied", "The request's q-sign-time or q-key-time is wrong.")
	case now.Before(time.Unix(from, 0).Add(-skew)):
		return denied("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
	case now.After(time.Unix(to, 0)):
		return denied("AccessDenied", "Request has expired")
	default:
		return nil
	}
}

// authorize checks who asks, and whether they may.
func (s *Server) authorize(c *call) *failure {
	claim, ok := readClaim(c.http)
	if !ok {
		if s.isPublic(c) {
			return nil
		}
		return denied("AccessDenied", "Access Denied.")
	}
	c.SecretID = claim.secretID
	s.mu.Lock()
	keys, known := s.keys[claim.secretID]
	s.mu.Unlock()
	now := s.now()
	token := c.http.Header.Get("x-cos-security-token")
	if token == "" {
		token = c.query.Get("x-cos-security-token")
	}
	switch {
	case !known, keys.Token != "" && token == "":
		return denied("InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records.")
	case token != keys.Token:
		return denied("AccessDenied", "The provided token is invalid.")
	case !keys.Expires.IsZero() && !now.Before(keys.Expires):
		return invalid("ExpiredToken", "The provided token has expired.")
	}
	if failure := claim.validity(now); failure != nil {
		return failure
	}
	if !hmac.Equal([]byte(claim.signature), []byte(claim.expected(keys.SecretKey, c.http))) {
		return denied("SignatureDoesNotMatch", "The Signature you specified is invalid.")
	}
	if keys.Allow != nil && !keys.Allow(c.Operation, c.Bucket, c.Key) {
		return denied("AccessDenied", "Access Denied.")
	}
	return nil
}

// isPublic tells whether anybody may do this.
func (s *Server) isPublic(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[c.Bucket]
	return b != nil && b.public && (c.Operation == GetObject || c.Operation == HeadObject)
}
