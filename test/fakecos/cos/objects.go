package cos

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
)

const (
	maxKey      = 850
	maxPut      = 5 << 30
	crcHeader   = "x-cos-hash-crc64ecma"
	classHeader = "x-cos-storage-class"
	onlyNew     = "x-cos-forbid-overwrite"
	metaPrefix  = "x-cos-meta-"
	standard    = "STANDARD"
)

func metaName(header string) (string, bool) {
	return strings.CutPrefix(strings.ToLower(header), metaPrefix)
}

// about takes from a request what is kept with an object.
func about(r *http.Request) (header http.Header, class string) {
	header = http.Header{}
	for name, values := range r.Header {
		_, meta := metaName(name)
		switch {
		case meta, name == "Content-Type", name == "Cache-Control", name == "Content-Disposition", name == "Content-Encoding":
			header[name] = values
		}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/octet-stream")
	}
	if class = r.Header.Get(classHeader); class == "" {
		class = standard
	}
	return header, class
}

// refuses refuses what may not replace an object. The caller holds mu.
func (b *bucket) refuses(c *call) *failure {
	if b.objects[c.Key] != nil && c.http.Header.Get(onlyNew) == "true" {
		return &failure{http.StatusConflict, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."}
	}
	return nil
}

// receive keeps the body of a request. Nothing is kept of one that ended too early.
func (s *Server) receive(c *call) (p piece, told sums, f *failure) {
	p, received, err := s.keep(c.body, c.damage)
	if err != nil {
		return piece{}, sums{}, invalid("RequestTimeout", "Your socket connection to the server was not read from or written to in time.")
	}
	if want := c.http.Header.Get("Content-MD5"); want != "" && want != base64.StdEncoding.EncodeToString(received.md5[:]) {
		p.remove()
		return piece{}, sums{}, invalid("BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	if told = p.sums; c.damage.silent {
		told = received
	}
	return p, told, nil
}

func (p piece) remove() { _ = os.Remove(p.path) }

func (s *Server) putObject(w *recorder, c *call, b *bucket) *failure {
	switch {
	case len(c.Key) > maxKey:
		return invalid("KeyTooLong", "Your key is too long.")
	case c.http.ContentLength > maxPut:
		return invalid("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
	}
	p, told, failure := s.receive(c)
	if failure != nil {
		return failure
	}
	header, class := about(c.http)
	s.mu.Lock()
	if failure = b.refuses(c); failure == nil {
		b.replace(&object{
			key: c.Key, pieces: []piece{p}, size: p.size, etag: told.etag(), crc: p.crc, header: header, class: class, modified: s.now(),
		})
	}
	s.mu.Unlock()
	if failure != nil {
		p.remove()
		return failure
	}
	w.Header().Set("ETag", told.etag())
	w.Header().Set(crcHeader, strconv.FormatUint(told.crc, 10))
	w.WriteHeader(http.StatusOK)
	return nil
}

// replace puts an object in its place. The caller holds mu.
func (b *bucket) replace(o *object) {
	b.remove(o.key)
	b.objects[o.key] = o
}

// remove removes an object, if there is one. The caller holds mu.
func (b *bucket) remove(key string) {
	if old := b.objects[key]; old != nil {
		for _, p := range old.pieces {
			p.remove()
		}
		delete(b.objects, key)
	}
}

// find answers a copy of an object.
func (s *Server) find(b *bucket, key string) (object, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := b.objects[key]; o != nil {
		return *o, nil
	}
	return object{}, missing("NoSuchKey", "The specified key does not exist.")
}

func (s *Server) getObject(w *recorder, c *call, b *bucket) *failure {
	o, failure := s.find(b, c.Key)
	if failure != nil {
		return failure
	}
	maps.Copy(w.Header(), o.header)
	w.Header().Set("ETag", o.etag)
	w.Header().Set(crcHeader, strconv.FormatUint(o.crc, 10))
	if o.class != standard {
		w.Header().Set(classHeader, o.class)
	}
	for _, name := range []string{"content-type", "content-disposition", "cache-control", "content-encoding"} {
		if value := c.query.Get("response-" + name); value != "" {
			w.Header().Set(name, value)
		}
	}
	content := newReader(o.pieces)
	defer func() { _ = content.Close() }()
	http.ServeContent(w, c.http, "", o.modified, content)
	return nil
}

func (s *Server) deleteObject(w *recorder, c *call, b *bucket) *failure {
	s.mu.Lock()
	b.remove(c.Key)
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Put stores an object behind the API's back, as somebody else's client would.
func (s *Server) Put(bucket, key string, content []byte) error {
	p, _, err := s.keep(bytes.NewReader(content), damage{})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucket]
	if b == nil {
		p.remove()
		return os.ErrNotExist
	}
	b.replace(&object{
		key: key, pieces: []piece{p}, size: p.size, etag: p.etag(), crc: p.crc, class: standard, modified: s.now(),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
	return nil
}

// joined is the ETag of an object out of parts: the MD5 of their MD5s, and their number.
func joined(pieces []piece) string {
	digest := md5.New()
	for _, p := range pieces {
		digest.Write(p.md5[:])
	}
	text := sums{md5: [md5.Size]byte(digest.Sum(nil))}.etag()
	return text[:len(text)-1] + "-" + strconv.Itoa(len(pieces)) + `"`
}

// discard reads a body to its end.
func discard(c *call) { _, _ = io.Copy(io.Discard, c.body) }
