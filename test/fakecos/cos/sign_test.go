package cos

import (
	"bytes"
	"hash/crc64"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	exampleHost = "webrecord-1250000000.cos.ap-shanghai.myqcloud.com"
	exampleTime = "1700000000;1700003600"
)

// The vectors: the first is that of the documentation's and the SDK's own tests, the others were made with the SDK.
func TestSignatures(t *testing.T) {
	for name, c := range map[string]struct {
		method, target  string
		length          int64
		header          map[string]string // host is that of the example, if not given
		headers, params string
		id, key, time   string
		want            string
	}{
		"the SDK's own": {
			method: http.MethodPut, target: "/testfile2", length: -1,
			header: map[string]string{
				"Host":               "testbucket-125000000.cos.ap-guangzhou.myqcloud.com",
				"x-cos-content-sha1": "db8ac1c259eb89d4a131b253bacfca5f319d54f2", "x-cos-stroage-class": "nearline",
			},
			headers: "host;x-cos-content-sha1;x-cos-stroage-class",
			id:      "QmFzZTY0IGlzIGEgZ2VuZXJp", key: "AKIDZfbOA78asKUYBcXFrJD0a1ICvR98JM",
			time: "1480932292;1481012292", want: "ce4ac0ecbcdb30538b3fee0a97cc6389694ce53a",
		},
		"an object": {
			method: http.MethodPut, target: "/11234%2Frecord%20a.mp4", length: 16, header: map[string]string{"Content-Type": "video/mp4"},
			headers: "content-length;content-type;host", want: "0142a2169e4186e2e4e9a9e506554c20fbbf626e",
		},
		"a part, with temporary keys": {
			method: http.MethodPut, target: "/11234%2Frecord%20a.mp4?partNumber=1&uploadId=U1", length: 1048576,
			header:  map[string]string{"x-cos-security-token": "TOKENEXAMPLE"},
			headers: "content-length;host;x-cos-security-token", params: "partnumber;uploadid",
			want: "fa367c971ee0f3a9dc49e237e16ae7b2dccc528b",
		},
		"an upload": {
			method: http.MethodPost, target: "/exampleobject?uploads", length: -1,
			headers: "host", params: "uploads", want: "145af216395667c06fc680b5e1274718227409b1",
		},
		"a parameter with a slash, a name that is not ASCII": {
			method: http.MethodGet, target: "/%E5%BD%95%E5%88%B6.mp4?response-content-type=video%2Fmp4", length: -1,
			headers: "host", params: "response-content-type", want: "d3ed46af3a8bc83303b27af8e29981c25e7000df",
		},
		"a URL signed beforehand": {
			method: http.MethodGet, target: "/11234/a%20b.mp4", length: -1,
			headers: "host", want: "34253f75ad5dc720fd6d38ee79a25f4ce7cc8db0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.target, nil)
			r.Host, r.ContentLength = exampleHost, c.length
			for name, value := range c.header {
				if name == "Host" {
					r.Host = value
					continue
				}
				r.Header.Set(name, value)
			}
			id, key, times := "AKIDEXAMPLE", "SECRETEXAMPLE", exampleTime
			if c.id != "" {
				id, key, times = c.id, c.key, c.time
			}
			r.Header.Set("Authorization", "q-sign-algorithm=sha1&q-ak="+id+"&q-sign-time="+times+"&q-key-time="+times+
				"&q-header-list="+c.headers+"&q-url-param-list="+c.params+"&q-signature="+c.want)
			claim, ok := readClaim(r)
			if !ok || claim.secretID != id {
				t.Fatalf("read %+v, %v", claim, ok)
			}
			if got := claim.expected(key, r); got != c.want {
				t.Errorf("signature %s, want %s", got, c.want)
			}
			r.URL.Path += "x"
			if got := claim.expected(key, r); got == c.want {
				t.Error("another path has the same signature")
			}
		})
	}
}

func TestChecksums(t *testing.T) {
	for text, want := range map[string]uint64{"[Object Content]": 16749565679157681890, "123456789": 11051210869376104954, "": 0} {
		if got := crc64.Checksum([]byte(text), table()); got != want {
			t.Errorf("CRC64 of %q is %d, want %d", text, got, want)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		content := bytes.Repeat([]byte{byte(random.Int())}, random.IntN(5000))
		at := random.IntN(len(content) + 1)
		first, second := crc64.Checksum(content[:at], table()), crc64.Checksum(content[at:], table())
		if got, want := combine(first, second, int64(len(content)-at)), crc64.Checksum(content, table()); got != want {
			t.Errorf("%d bytes cut at %d: CRC64 %d, want %d", len(content), at, got, want)
		}
	}
}

func TestEncoding(t *testing.T) {
	if got, want := encode("aZ9-_.~ /!'()*;é"), "aZ9-_.~%20%2F%21%27%28%29%2A%3B%C3%A9"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if strings.Contains(encode("+"), "+") {
		t.Error("a plus sign stays, which would be read as a space")
	}
}
