package cos

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"hash/crc64"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Bucket is a bucket to be made.
type Bucket struct {
	Name   string // <name>-<appid>
	Region string
	Public bool // anybody may read objects without keys
}

type bucket struct {
	name    string
	region  string
	public  bool
	objects map[string]*object
	uploads map[string]*upload
}

type object struct {
	key      string
	pieces   []piece
	size     int64
	etag     string // with its quotes
	crc      uint64
	header   http.Header // as it is answered: Content-Type, x-cos-meta-*, …
	class    string
	modified time.Time
}

type upload struct {
	id     string
	key    string
	header http.Header
	class  string
	begun  time.Time
	parts  map[int]part
}

type part struct {
	piece
	etag     string
	modified time.Time
}

// piece is stored content, in a file of its own.
type piece struct {
	path string
	sums
}

// sums say what content is.
type sums struct {
	size int64
	crc  uint64
	md5  [md5.Size]byte
}

func (s sums) etag() string { return `"` + hex.EncodeToString(s.md5[:]) + `"` }

// AddBucket makes an empty bucket.
func (s *Server) AddBucket(b Bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[b.Name] = &bucket{
		name: b.Name, region: b.Region, public: b.Public, objects: map[string]*object{}, uploads: map[string]*upload{},
	}
}

// RemoveBucket removes a bucket with all that is in it.
func (s *Server) RemoveBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buckets, name)
}

// Object is what the store holds under a key.
type Object struct {
	Key          string
	Content      []byte // only of Server.Object
	Size         int64
	ETag         string // with its quotes
	CRC64        uint64
	ContentType  string
	StorageClass string
	Meta         map[string]string // by the names behind x-cos-meta-, lower case
}

// Object answers an object, and false when there is none.
func (s *Server) Object(bucket, key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucket]
	if b == nil || b.objects[key] == nil {
		return Object{}, false
	}
	o := b.objects[key].describe()
	var err error
	if o.Content, err = io.ReadAll(newReader(b.objects[key].pieces)); err != nil {
		return Object{}, false
	}
	return o, true
}

// Objects answers all objects of a bucket, in the order of their keys, without their content.
func (s *Server) Objects(bucket string) []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucket]
	if b == nil {
		return nil
	}
	var all []Object
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		all = append(all, b.objects[key].describe())
	}
	return all
}

func (o *object) describe() Object {
	meta := map[string]string{}
	for name := range o.header {
		if rest, ok := metaName(name); ok {
			meta[rest] = o.header.Get(name)
		}
	}
	return Object{
		Key: o.key, Size: o.size, ETag: o.etag, CRC64: o.crc, ContentType: o.header.Get("Content-Type"), StorageClass: o.class, Meta: meta,
	}
}

// Upload is a multipart upload that was begun and neither completed nor aborted.
type Upload struct {
	ID    string
	Key   string
	Parts map[int]int64 // sizes by number
}

// Uploads answers the uploads of a bucket, in the order of keys and ids.
func (s *Server) Uploads(bucket string) []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucket]
	if b == nil {
		return nil
	}
	var all []Upload
	for _, u := range b.sortedUploads() {
		parts := map[int]int64{}
		for number, p := range u.parts {
			parts[number] = p.size
		}
		all = append(all, Upload{ID: u.id, Key: u.key, Parts: parts})
	}
	return all
}

// bucketOf finds the bucket of a request. The caller does not hold mu.
func (s *Server) bucketOf(c *call) (*bucket, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[c.Bucket]
	if b == nil || c.region != "" && c.region != b.region {
		return nil, missing("NoSuchBucket", "The specified bucket does not exist.")
	}
	return b, nil
}

// damage is what a store does to content that it should keep.
type damage struct {
	flip   bool // one bit is wrong
	cut    bool // the last byte is missing
	silent bool // the answer says nothing of it
}

// keep writes content to a file. received is what came, the piece what is stored: not the same when damage was ordered.
func (s *Server) keep(content io.Reader, d damage) (p piece, received sums, err error) {
	path := filepath.Join(s.dir, s.number("content"))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return piece{}, sums{}, err
	}
	received, err = copySums(f, content)
	p = piece{path: path, sums: received}
	if err == nil && (d.flip || d.cut) && received.size > 0 {
		p.sums, err = spoil(f, received.size, d)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return piece{}, sums{}, errors.Join(err, os.Remove(path))
	}
	return p, received, nil
}

func copySums(w io.Writer, r io.Reader) (sums, error) {
	digest, check := md5.New(), crc64.New(table())
	n, err := io.Copy(io.MultiWriter(w, digest, check), r)
	return sums{size: n, crc: check.Sum64(), md5: [md5.Size]byte(digest.Sum(nil))}, err
}

// spoil damages a file, and returns what it holds then.
func spoil(f *os.File, size int64, d damage) (sums, error) {
	if d.flip {
		var b [1]byte
		if _, err := f.ReadAt(b[:], size/2); err != nil {
			return sums{}, err
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b[:], size/2); err != nil {
			return sums{}, err
		}
	}
	if d.cut {
		if err := f.Truncate(size - 1); err != nil {
			return sums{}, err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return sums{}, err
	}
	return copySums(io.Discard, f)
}

// reader reads pieces one after the other, from any place.
type reader struct {
	pieces []piece
	size   int64
	at     int64
	open   *os.File // at the place where it is read next; nil: none
	left   int64    // bytes of open
}

func newReader(pieces []piece) *reader {
	r := &reader{pieces: pieces}
	for _, p := range pieces {
		r.size += p.size
	}
	return r
}

func (r *reader) Read(b []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.left == 0 {
		if err := errors.Join(r.Close(), r.find()); err != nil {
			return 0, err
		}
	}
	n, err := r.open.Read(b[:min(int64(len(b)), r.left)])
	r.at += int64(n)
	r.left -= int64(n)
	return n, err
}

// find opens the piece in which at lies.
func (r *reader) find() (err error) {
	begin := int64(0)
	for _, p := range r.pieces {
		if r.at < begin+p.size {
			if r.open, err = os.Open(p.path); err == nil {
				r.left = begin + p.size - r.at
				_, err = r.open.Seek(r.at-begin, io.SeekStart)
			}
			return err
		}
		begin += p.size
	}
	return io.ErrUnexpectedEOF
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	r.at, r.left = offset, 0
	return offset, r.Close()
}

func (r *reader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}
