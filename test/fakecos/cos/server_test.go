package cos

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testBucket = "webrecord-1250000000"
	testRegion = "ap-shanghai"
)

// client signs requests and sends them.
type client struct {
	t      *testing.T
	server *Server
	keys   Keys
	host   string
	http   http.Client
}

func newClient(t *testing.T) *client {
	t.Helper()
	s, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, server: s, keys: Keys{SecretID: "AKID", SecretKey: "key"}, host: Host(testBucket, testRegion)}
	c.http.Transport = &http.Transport{}
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.AddBucket(Bucket{Name: testBucket, Region: testRegion})
	s.SetKeys(c.keys)
	return c
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code() string {
	var e errorBody
	_ = xml.Unmarshal([]byte(a.body), &e)
	return e.Code
}

// try sends a request; headers are given as "name: value".
func (c *client) try(method, target string, body []byte, headers ...string) (answer, error) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL()+target, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Host = c.host
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	c.sign(r)
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func (c *client) sign(r *http.Request) {
	if c.keys.SecretID == "" {
		return
	}
	if c.keys.Token != "" {
		r.Header.Set("x-cos-security-token", c.keys.Token)
	}
	now := time.Now().Unix()
	cl := claim{secretID: c.keys.SecretID, signTime: fmt.Sprintf("%d;%d", now-60, now+600), headers: []string{"host"}}
	cl.keyTime = cl.signTime
	for name := range r.Header {
		cl.headers = append(cl.headers, strings.ToLower(name))
	}
	for name := range r.URL.Query() {
		cl.params = append(cl.params, strings.ToLower(encode(name)))
	}
	r.Header.Set("Authorization", "q-sign-algorithm=sha1&q-ak="+cl.secretID+"&q-sign-time="+cl.signTime+"&q-key-time="+cl.keyTime+
		"&q-header-list="+strings.Join(cl.headers, ";")+"&q-url-param-list="+strings.Join(cl.params, ";")+
		"&q-signature="+cl.expected(c.keys.SecretKey, r))
}

func (c *client) do(method, target string, body []byte, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(method, target, body, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

func (c *client) want(a answer, status int, code string) {
	c.t.Helper()
	if a.status != status || a.code() != code {
		c.t.Errorf("answered %d %s, want %d %s", a.status, a.body, status, code)
	}
}

// begin begins an upload.
func (c *client) begin(key string, headers ...string) (id string) {
	c.t.Helper()
	var begun struct {
		UploadID string `xml:"UploadId"`
	}
	a := c.do(http.MethodPost, "/"+key+"?uploads", nil, headers...)
	if err := xml.Unmarshal([]byte(a.body), &begun); err != nil || begun.UploadID == "" {
		c.t.Fatalf("%+v, %v", a, err)
	}
	return begun.UploadID
}

func (c *client) part(key, id string, number int, content []byte) (etag string) {
	c.t.Helper()
	a := c.do(http.MethodPut, fmt.Sprintf("/%s?partNumber=%d&uploadId=%s", key, number, id), content)
	c.want(a, http.StatusOK, "")
	return a.header.Get("ETag")
}

// end completes an upload with parts given as number and ETag.
func (c *client) end(key, id string, parts ...any) answer {
	c.t.Helper()
	body := []byte("<CompleteMultipartUpload>")
	for i := 0; i < len(parts); i += 2 {
		body = fmt.Appendf(body, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", parts[i], parts[i+1])
	}
	return c.do(http.MethodPost, "/"+key+"?uploadId="+id, append(body, "</CompleteMultipartUpload>"...))
}

func TestObjects(t *testing.T) {
	c := newClient(t)
	a := c.do(http.MethodPut, "/a%2Fb%20c.mp4", []byte("[Object Content]"), "Content-Type: video/mp4", "x-cos-meta-who: me",
		"x-cos-storage-class: STANDARD_IA")
	c.want(a, http.StatusOK, "")
	if a.body != "" || a.header.Get("ETag") != `"ee8de918d05640145b18f70f4c3aa602"` ||
		a.header.Get("x-cos-hash-crc64ecma") != "16749565679157681890" || a.header.Get("x-cos-request-id") == "" {
		t.Errorf("put answered %+v", a)
	}
	a = c.do(http.MethodHead, "/a/b%20c.mp4", nil)
	for name, want := range map[string]string{
		"Content-Length": "16", "Content-Type": "video/mp4", "x-cos-meta-who": "me", "x-cos-storage-class": "STANDARD_IA",
		"ETag": `"ee8de918d05640145b18f70f4c3aa602"`, "x-cos-hash-crc64ecma": "16749565679157681890",
	} {
		if got := a.header.Get(name); got != want || a.status != http.StatusOK {
			t.Errorf("head: %s is %q, want %q", name, got, want)
		}
	}
	if a := c.do(http.MethodGet, "/a/b%20c.mp4", nil, "Range: bytes=1-6"); a.status != http.StatusPartialContent || a.body != "Object" {
		t.Errorf("a range: %+v", a)
	}
	c.want(c.do(http.MethodPut, "/a/b%20c.mp4", []byte("other"), "x-cos-forbid-overwrite: true"), http.StatusConflict, "FileAlreadyExists")
	c.want(c.do(http.MethodPut, "/x", []byte("other"), "Content-MD5: AAAA"), http.StatusBadRequest, "BadDigest")
	c.want(c.do(http.MethodPut, "/"+strings.Repeat("k", 851), nil), http.StatusBadRequest, "KeyTooLong")
	for range 2 {
		c.want(c.do(http.MethodDelete, "/a/b%20c.mp4", nil), http.StatusNoContent, "")
	}
	c.want(c.do(http.MethodGet, "/a/b%20c.mp4", nil), http.StatusNotFound, "NoSuchKey")
	if a := c.do(http.MethodHead, "/a/b%20c.mp4", nil); a.status != http.StatusNotFound || a.body != "" {
		t.Errorf("head of what is not there: %+v", a)
	}
	if files, err := os.ReadDir(c.server.dir); err != nil || len(files) != 0 {
		t.Errorf("what was deleted is still on disk: %v, %v", files, err)
	}
}

func TestWhereBucketsAre(t *testing.T) {
	c := newClient(t)
	c.want(c.do(http.MethodPut, "/key", []byte("x")), http.StatusOK, "")
	c.host = strings.TrimPrefix(c.server.URL(), "http://") // path style
	if a := c.do(http.MethodGet, "/"+testBucket+"/key", nil); a.body != "x" {
		t.Errorf("with the bucket in the path: %+v", a)
	}
	for _, host := range []string{Host("other-1250000000", testRegion), Host(testBucket, "ap-beijing")} {
		c.host = host
		c.want(c.do(http.MethodGet, "/key", nil), http.StatusNotFound, "NoSuchBucket")
	}
	c.host = Host(testBucket, testRegion)
	c.server.RemoveBucket(testBucket)
	c.want(c.do(http.MethodPut, "/key", []byte("x")), http.StatusNotFound, "NoSuchBucket")
}

func TestKeys(t *testing.T) {
	c := newClient(t)
	for name, test := range map[string]struct {
		change func(k *Keys)
		status int
		code   string
	}{
		"good":            {func(*Keys) {}, http.StatusOK, ""},
		"none":            {func(k *Keys) { *k = Keys{} }, http.StatusForbidden, "AccessDenied"},
		"unknown":         {func(k *Keys) { k.SecretID = "other" }, http.StatusForbidden, "InvalidAccessKeyId"},
		"wrong":           {func(k *Keys) { k.SecretKey = "other" }, http.StatusForbidden, "SignatureDoesNotMatch"},
		"a foreign token": {func(k *Keys) { k.Token = "other" }, http.StatusForbidden, "AccessDenied"},
	} {
		good := c.keys
		test.change(&c.keys)
		a := c.do(http.MethodPut, "/key", []byte("x"))
		if a.status != test.status || a.code() != test.code {
			t.Errorf("%s: %+v, want %d %s", name, a, test.status, test.code)
		}
		c.keys = good
	}
	temporary := Keys{
		SecretID: "TMP", SecretKey: "tmp", Token: "token", Expires: time.Now().Add(time.Hour),
		Allow: func(op Operation, bucket, key string) bool { return op == PutObject && strings.HasPrefix(key, "mine/") },
	}
	c.server.SetKeys(temporary)
	c.keys = temporary
	c.want(c.do(http.MethodPut, "/mine/key", []byte("x")), http.StatusOK, "")
	c.want(c.do(http.MethodPut, "/other/key", []byte("x")), http.StatusForbidden, "AccessDenied")
	c.keys.Token = ""
	c.want(c.do(http.MethodPut, "/mine/key", []byte("x")), http.StatusForbidden, "InvalidAccessKeyId")
	c.keys.Token = "token"
	c.server.Inject(Rule{On: PutObject, Times: 1, Fault: ExpireKeys()})
	c.want(c.do(http.MethodPut, "/mine/key", []byte("x")), http.StatusBadRequest, "ExpiredToken")
	c.want(c.do(http.MethodPut, "/mine/key", []byte("x")), http.StatusBadRequest, "ExpiredToken")
	temporary.Expires = time.Time{}
	c.server.SetKeys(temporary)
	c.want(c.do(http.MethodPut, "/mine/key", []byte("x")), http.StatusOK, "")
}

// A signature is good for what was signed, and as long as it says.
func TestSignedRequests(t *testing.T) {
	c := newClient(t)
	for name, test := range map[string]struct {
		change func(r *http.Request)
		code   string
	}{
		"another path":   {func(r *http.Request) { r.URL.Path = "/other" }, "SignatureDoesNotMatch"},
		"another header": {func(r *http.Request) { r.Header.Set("x-cos-meta-a", "2") }, "SignatureDoesNotMatch"},
		"another method": {func(r *http.Request) { r.Method = http.MethodGet }, "SignatureDoesNotMatch"},
		"another query":  {func(r *http.Request) { r.URL.RawQuery = "a=2" }, "SignatureDoesNotMatch"},
		"expired":        {func(r *http.Request) { edit(r, "q-sign-time=", "q-sign-time=100;200&x=") }, "AccessDenied"},
		"not yet": {
			func(r *http.Request) { edit(r, "q-sign-time=", "q-sign-time=9900000000;9900000001&x=") }, "RequestTimeTooSkewed",
		},
		"no signature": {func(r *http.Request) { edit(r, "q-signature=", "q-sig=") }, "AccessDenied"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.server.URL()+"/key?a=1", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		r.Header.Set("x-cos-meta-a", "1")
		c.sign(r)
		test.change(r)
		response, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || (answer{body: string(text)}).code() != test.code {
			t.Errorf("%s: %d %s, %v, want %s", name, response.StatusCode, text, err, test.code)
		}
	}
}

func edit(r *http.Request, old, replacement string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, replacement, 1))
}

// A URL that was signed beforehand needs no header.
func TestPresignedURL(t *testing.T) {
	c := newClient(t)
	c.want(c.do(http.MethodPut, "/key", []byte("x")), http.StatusOK, "")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.server.URL()+"/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = c.host
	c.sign(r)
	query := url.Values{}
	for field := range strings.SplitSeq(r.Header.Get("Authorization"), "&") {
		name, value, _ := strings.Cut(field, "=")
		query.Set(name, value)
	}
	r.Header.Del("Authorization")
	r.URL.RawQuery = query.Encode()
	response, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "x" {
		t.Errorf("%d %s, %v", response.StatusCode, text, err)
	}
}

func TestPublicBucket(t *testing.T) {
	c := newClient(t)
	c.server.AddBucket(Bucket{Name: testBucket, Region: testRegion, Public: true})
	c.want(c.do(http.MethodPut, "/key", []byte("x")), http.StatusOK, "")
	c.keys = Keys{}
	if a := c.do(http.MethodGet, "/key", nil); a.body != "x" {
		t.Errorf("%+v", a)
	}
	c.want(c.do(http.MethodPut, "/key", []byte("y")), http.StatusForbidden, "AccessDenied")
	c.want(c.do(http.MethodGet, "/", nil), http.StatusForbidden, "AccessDenied")
}

func TestUploads(t *testing.T) {
	c := newClient(t)
	id := c.begin("a.mp4", "Content-Type: video/mp4", "x-cos-meta-who: me")
	first, second := bytes.Repeat([]byte("1"), MinPart), bytes.Repeat([]byte("2"), 100)
	tag2 := c.part("a.mp4", id, 2, second)
	c.part("a.mp4", id, 1, []byte("replaced"))
	tag1 := c.part("a.mp4", id, 1, first)
	if _, ok := c.server.Object(testBucket, "a.mp4"); ok {
		t.Error("the object is there before it is complete")
	}
	if got := c.server.Uploads(testBucket); len(got) != 1 || got[0].Parts[1] != MinPart || got[0].Parts[2] != 100 {
		t.Errorf("uploads: %+v", got)
	}
	var listed struct {
		Part        []listedPart
		IsTruncated bool
	}
	a := c.do(http.MethodGet, "/a.mp4?uploadId="+id+"&max-parts=1&part-number-marker=1", nil)
	err := xml.Unmarshal([]byte(a.body), &listed)
	if err != nil || len(listed.Part) != 1 || listed.Part[0].ETag != tag2 || listed.IsTruncated {
		t.Errorf("%s, %v", a.body, err)
	}
	a = c.end("a.mp4", id, 1, tag1, 2, tag2)
	c.want(a, http.StatusOK, "")
	content := slices.Concat(first, second)
	if want := strconv.FormatUint(crc64.Checksum(content, table()), 10); a.header.Get(crcHeader) != want {
		t.Errorf("CRC64 %s, want %s", a.header.Get(crcHeader), want)
	}
	if !strings.Contains(a.body, "-2&#34;</ETag>") {
		t.Errorf("complete answered %s", a.body)
	}
	o, ok := c.server.Object(testBucket, "a.mp4")
	if !ok || !bytes.Equal(o.Content, content) || o.ContentType != "video/mp4" || o.Meta["who"] != "me" || o.Size != int64(len(content)) {
		t.Errorf("%+v of %d bytes, %v", o.ETag, o.Size, ok)
	}
	if a := c.do(http.MethodGet, "/a.mp4", nil, fmt.Sprintf("Range: bytes=%d-%d", MinPart-2, MinPart+1)); a.body != "1122" {
		t.Errorf("a range over two parts: %q", a.body)
	}
	c.want(c.end("a.mp4", id, 1, tag1, 2, tag2), http.StatusNotFound, "NoSuchUpload")
}

func TestUploadMistakes(t *testing.T) {
	c := newClient(t)
	id := c.begin("a.mp4")
	small := c.part("a.mp4", id, 1, []byte("small"))
	big := c.part("a.mp4", id, 2, make([]byte, MinPart))
	c.want(c.end("a.mp4", id, 1, small, 2, big), http.StatusBadRequest, "EntityTooSmall")
	c.want(c.end("a.mp4", id, 2, big, 1, small), http.StatusBadRequest, "InvalidPart")
	c.want(c.end("a.mp4", id, 1, big), http.StatusBadRequest, "InvalidPart")
	c.want(c.end("a.mp4", id, 2, big), http.StatusBadRequest, "InvalidPart")
	c.want(c.end("a.mp4", id), http.StatusBadRequest, "MalformedXML")
	c.want(c.do(http.MethodPut, "/a.mp4?partNumber=0&uploadId="+id, []byte("x")), http.StatusBadRequest, "InvalidArgument")
	c.want(c.do(http.MethodPut, "/a.mp4?partNumber=10001&uploadId="+id, []byte("x")), http.StatusBadRequest, "InvalidArgument")
	c.want(c.do(http.MethodPut, "/b.mp4?partNumber=1&uploadId="+id, []byte("x")), http.StatusNotFound, "NoSuchUpload")
	tag := c.part("a.mp4", id, 1, make([]byte, MinPart))
	c.want(c.end("a.mp4", id, 1, tag, 1, tag), http.StatusBadRequest, "InvalidPartOrder")
	c.want(c.do(http.MethodDelete, "/a.mp4?uploadId="+id, nil), http.StatusNoContent, "")
	c.want(c.do(http.MethodDelete, "/a.mp4?uploadId="+id, nil), http.StatusNotFound, "NoSuchUpload")
	c.want(c.do(http.MethodGet, "/a.mp4?uploadId="+id, nil), http.StatusNotFound, "NoSuchUpload")
	if files, err := os.ReadDir(c.server.dir); err != nil || len(files) != 0 {
		t.Errorf("what was aborted is still on disk: %v, %v", files, err)
	}
}

func TestListings(t *testing.T) {
	c := newClient(t)
	keys := []string{"a/1", "a/2", "a/b/3", "b c", "d&e"}
	for _, key := range keys {
		if err := c.server.Put(testBucket, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		c.begin(url.PathEscape(key))
	}
	for query, want := range map[string]string{
		"":                               "a/1 a/2 a/b/3 b c d&e |",
		"?prefix=a%2F":                   "a/1 a/2 a/b/3 |",
		"?prefix=a%2F&delimiter=%2F":     "a/1 a/2 | a/b/",
		"?delimiter=%2F&marker=a%2F":     "b c d&e |",
		"?marker=a%2F2&max-keys=2":       "a/b/3 b c | ...b c",
		"?encoding-type=url&prefix=b":    "b%20c |",
		"?max-keys=1&delimiter=%2F":      " | a/ ...a/",
		"?prefix=nothing&delimiter=%2F&": " |",
	} {
		a := c.do(http.MethodGet, "/"+query, nil)
		var l objectList
		if err := xml.Unmarshal([]byte(a.body), &l); err != nil {
			t.Fatalf("%s: %v", a.body, err)
		}
		var found, folders []string
		for _, o := range l.Contents {
			found = append(found, o.Key)
		}
		for _, p := range l.CommonPrefixes {
			folders = append(folders, " "+p.Prefix)
		}
		got := strings.Join(found, " ") + " |" + strings.Join(folders, "")
		if l.IsTruncated {
			got += " ..." + l.NextMarker
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	var seen []string
	for query := ""; ; {
		a := c.do(http.MethodGet, "/?uploads&max-uploads=2"+query, nil)
		var l uploadList
		if err := xml.Unmarshal([]byte(a.body), &l); err != nil {
			t.Fatalf("%s: %v", a.body, err)
		}
		for _, u := range l.Upload {
			seen = append(seen, u.Key)
		}
		if !l.IsTruncated {
			break
		}
		query = "&key-marker=" + url.QueryEscape(l.NextKeyMarker) + "&upload-id-marker=" + l.NextUploadIDMarker
	}
	if !slices.Equal(seen, keys) {
		t.Errorf("uploads of %q, want %q", seen, keys)
	}
}

func TestFaults(t *testing.T) {
	c := newClient(t)
	put := func() (answer, error) { return c.try(http.MethodPut, "/key", []byte("content")) }
	c.server.Inject(Rule{On: PutObject, Skip: 1, Times: 2, Fault: RefuseFor(http.StatusServiceUnavailable, "SlowDown", 3*time.Second)})
	for i, want := range []int{200, 503, 503, 200} {
		a, err := put()
		if err != nil || a.status != want || (a.header.Get("Retry-After") == "3") != (want == 503) {
			t.Errorf("try %d: %+v, %v, want %d", i, a, err, want)
		}
	}

	c.do(http.MethodDelete, "/key", nil)
	c.server.Inject(Rule{On: PutObject, Times: 1, Fault: LoseAnswer()})
	if a, err := put(); err == nil {
		t.Errorf("an answer came that should be lost: %+v", a)
	}
	if o, ok := c.server.Object(testBucket, "key"); !ok || string(o.Content) != "content" {
		t.Errorf("the answer was lost, and the object too: %q, %v", o.Content, ok)
	}

	c.do(http.MethodDelete, "/key", nil)
	c.server.Inject(Rule{On: PutObject, Times: 1, Fault: Reset(3)})
	if a, err := put(); err == nil {
		t.Errorf("an answer came over a connection that was reset: %+v", a)
	}
	if _, ok := c.server.Object(testBucket, "key"); ok {
		t.Error("an object came of half a body")
	}

	c.server.Inject(Rule{On: PutObject, Times: 1, Fault: Flip(false)})
	a, err := put()
	if err != nil || a.header.Get(crcHeader) == strconv.FormatUint(crc64.Checksum([]byte("content"), table()), 10) {
		t.Errorf("a flipped bit is not told: %+v, %v", a, err)
	}
	c.server.Inject(Rule{On: PutObject, Times: 1, Fault: Cut(true)})
	a, err = put()
	if err != nil || a.header.Get(crcHeader) != strconv.FormatUint(crc64.Checksum([]byte("content"), table()), 10) {
		t.Errorf("a silent fault is told: %+v, %v", a, err)
	}
	if a := c.do(http.MethodGet, "/key", nil); a.body != "conten" {
		t.Errorf("what was cut reads %q", a.body)
	}

	remove := c.server.Inject(Rule{Fault: ErrorInBody("InternalError")})
	a, err = put()
	if err != nil || a.status != http.StatusOK || a.code() != "InternalError" {
		t.Errorf("%+v, %v", a, err)
	}
	remove()
	if a, err := put(); err != nil || a.body != "" {
		t.Errorf("after the fault was taken back: %+v, %v", a, err)
	}
	done := false
	c.server.Inject(Rule{On: GetObject, Times: 1, Fault: Then(func() { done = true })})
	if a := c.do(http.MethodGet, "/key", nil); a.body != "content" || !done {
		t.Errorf("%+v, done %v", a, done)
	}
	if got := c.server.Requests(PutObject); len(got) != 10 || got[0].Received != 7 || got[0].SecretID != "AKID" || got[0].Status != 200 ||
		got[1].Code != "SlowDown" || got[5].Received != 3 {
		t.Errorf("%d requests: %+v", len(got), got)
	}
}

func TestSlowAndBlackHole(t *testing.T) {
	c := newClient(t)
	c.server.Inject(Rule{On: PutObject, Times: 1, Fault: Slow(2000)})
	begin := time.Now()
	c.want(c.do(http.MethodPut, "/key", make([]byte, 400)), http.StatusOK, "")
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("400 bytes at 2000 a second took %v", took)
	}
	c.server.Inject(Rule{On: PutObject, Fault: BlackHole()})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, c.server.URL()+"/key", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = c.host
	response, err := c.http.Do(r)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v", response, err)
	}
	if err == nil {
		_ = response.Body.Close()
	}
}
