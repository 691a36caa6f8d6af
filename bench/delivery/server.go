package main

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const bucket = "recordings"

// s3 is an S3 server in this process: gofakes3, which speaks the protocol, over parts that lie on the disk. A finished object is
// its parts in their order, so that what is measured is recordhost's work and not that of a server that copies them together.
type s3 struct {
	*s3mem.Backend
	dir      string
	address  string
	server   *http.Server
	serving  sync.WaitGroup
	received atomic.Int64 // bytes of objects and parts

	mu      sync.Mutex
	serial  int
	uploads map[gofakes3.UploadID]*upload
	objects map[string]*upload
}

var (
	_ gofakes3.Backend          = (*s3)(nil)
	_ gofakes3.MultipartBackend = (*s3)(nil)
)

// upload is an object that goes up in parts, or has.
type upload struct {
	key   string
	meta  map[string]string
	begun time.Time
	parts map[int]part
	order []part // of a finished one
}

type part struct {
	path string
	size int64
	sum  []byte
}

func (u *upload) size() (n int64) {
	for _, p := range u.order {
		n += p.size
	}
	return n
}

// startS3 serves until Close.
func startS3(dir string) (store, error) {
	s := &s3{Backend: s3mem.New(), dir: dir, uploads: map[gofakes3.UploadID]*upload{}, objects: map[string]*upload{}}
	if err := s.CreateBucket(bucket); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed with the server
	if err != nil {
		return nil, err
	}
	s.address = listener.Addr().String()
	protocol := gofakes3.New(s).Server()
	s.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := s.object(strings.TrimPrefix(r.URL.Path, "/"+bucket+"/"))
		if u == nil {
			protocol.ServeHTTP(w, r)
			return
		}
		t := tagged{w, fmt.Sprintf(`"%x-%d"`, u.hash(), len(u.order))}
		protocol.ServeHTTP(t, r)
		t.mark() // of an answer without a body
	})}
	s.serving.Go(func() { _ = s.server.Serve(listener) }) // it ends with ErrServerClosed
	return s, nil
}

func (s *s3) close() error {
	err := s.server.Close()
	s.serving.Wait()
	return err
}

// tagged answers the ETag of an object that was sent in parts as S3 makes it, which gofakes3 cannot be told.
type tagged struct {
	http.ResponseWriter
	tag string
}

func (t tagged) mark() {
	if t.Header().Get("ETag") != "" {
		t.Header().Set("ETag", t.tag)
	}
}

func (t tagged) WriteHeader(code int) {
	t.mark()
	t.ResponseWriter.WriteHeader(code)
}

func (t tagged) Write(b []byte) (int, error) {
	t.mark()
	return t.ResponseWriter.Write(b)
}

func (s *s3) CreateMultipartUpload(_, object string, meta map[string]string) (gofakes3.UploadID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	id := gofakes3.UploadID(fmt.Sprintf("upload-%d", s.serial))
	s.uploads[id] = &upload{key: object, meta: meta, begun: time.Now(), parts: map[int]part{}}
	return id, nil
}

func (s *s3) find(id gofakes3.UploadID) (*upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil {
		return nil, gofakes3.ErrNoSuchUpload
	}
	return u, nil
}

func (s *s3) UploadPart(_, _ string, id gofakes3.UploadID, number int, length int64, input io.Reader) (string, error) {
	u, err := s.find(id)
	if err != nil {
		return "", err
	}
	p, err := s.keep(filepath.Join(s.dir, fmt.Sprintf("%s-%d", id, number)), length, input)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.parts[number] = p
	return fmt.Sprintf("%q", hex.EncodeToString(p.sum)), nil
}

// keep writes a part to the disk.
func (s *s3) keep(path string, length int64, input io.Reader) (part, error) {
	f, err := os.Create(path)
	if err != nil {
		return part{}, err
	}
	sum := md5.New()
	n, err := io.Copy(io.MultiWriter(f, sum), input)
	s.received.Add(n)
	if err = errors.Join(err, f.Close()); err == nil && n != length {
		err = gofakes3.ErrIncompleteBody
	}
	return part{path: path, size: n, sum: sum.Sum(nil)}, err
}

func (s *s3) CompleteMultipartUpload(
	_, _ string, id gofakes3.UploadID, input *gofakes3.CompleteMultipartUploadRequest,
) (gofakes3.VersionID, string, error) {
	u, err := s.find(id)
	if err != nil {
		return "", "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, named := range input.Parts {
		p, ok := u.parts[named.PartNumber]
		if !ok || strings.Trim(named.ETag, `"`) != hex.EncodeToString(p.sum) {
			return "", "", gofakes3.ErrInvalidPart
		}
		u.order = append(u.order, p)
	}
	s.objects[u.key] = u
	delete(s.uploads, id)
	return "", fmt.Sprintf(`"%x-%d"`, u.hash(), len(u.order)), nil
}

func (u *upload) hash() []byte {
	sum := md5.New()
	for _, p := range u.order {
		sum.Write(p.sum)
	}
	return sum.Sum(nil)
}

func (s *s3) AbortMultipartUpload(_, _ string, id gofakes3.UploadID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, id)
	return nil
}

func (s *s3) ListMultipartUploads(
	name string, _ *gofakes3.UploadListMarker, prefix gofakes3.Prefix, limit int64,
) (*gofakes3.ListMultipartUploadsResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &gofakes3.ListMultipartUploadsResult{Bucket: name, Prefix: prefix.Prefix, MaxUploads: limit}
	for id, u := range s.uploads {
		if strings.HasPrefix(u.key, prefix.Prefix) {
			list.Uploads = append(list.Uploads, gofakes3.ListMultipartUploadItem{
				Key: u.key, UploadID: id, Initiated: gofakes3.NewContentTime(u.begun),
			})
		}
	}
	return list, nil
}

func (s *s3) ListParts(
	name, object string, id gofakes3.UploadID, marker int, limit int64,
) (*gofakes3.ListMultipartUploadPartsResult, error) {
	u, err := s.find(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &gofakes3.ListMultipartUploadPartsResult{Bucket: name, Key: object, UploadID: id, MaxParts: limit, PartNumberMarker: marker}
	var numbers []int
	for n := range u.parts {
		if n > marker {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if int64(i) == limit {
			list.IsTruncated = true
			break
		}
		p := u.parts[n]
		list.NextPartNumberMarker = n
		list.Parts = append(list.Parts, gofakes3.ListMultipartUploadPartItem{
			PartNumber: n, ETag: fmt.Sprintf("%q", hex.EncodeToString(p.sum)), Size: p.size, LastModified: gofakes3.NewContentTime(u.begun),
		})
	}
	return list, nil
}

func (s *s3) object(key string) *upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[key]
}

// HeadObject implements gofakes3.Backend.
func (s *s3) HeadObject(name, key string) (*gofakes3.Object, error) {
	u := s.object(key)
	if u == nil {
		return s.Backend.HeadObject(name, key)
	}
	return &gofakes3.Object{
		Name: key, Metadata: u.meta, Size: u.size(), Hash: u.hash(), Contents: io.NopCloser(strings.NewReader("")),
	}, nil
}

// GetObject implements gofakes3.Backend. Whoever asks for a range gets it from a file that is put together by offsets.
func (s *s3) GetObject(name, key string, wanted *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	u := s.object(key)
	if u == nil {
		return s.Backend.GetObject(name, key, wanted)
	}
	o, err := s.HeadObject(name, key)
	if err != nil {
		return nil, err
	}
	from, length := int64(0), o.Size
	if wanted != nil {
		if o.Range, err = wanted.Range(o.Size); err != nil {
			return nil, err
		}
		if o.Range != nil {
			from, length = o.Range.Start, o.Range.Length
		}
	}
	o.Contents = u.open(from, length)
	return o, nil
}

// open reads some of the object.
func (u *upload) open(from, length int64) io.ReadCloser {
	var readers []io.Reader
	var files []io.Closer
	for _, p := range u.order {
		n := min(p.size-from, length)
		if n > 0 {
			f, err := os.Open(p.path)
			if err != nil {
				readers = append(readers, failing{err})
				break
			}
			files = append(files, f)
			readers = append(readers, io.NewSectionReader(f, max(from, 0), n))
			length -= n
			from = 0
			continue
		}
		from = max(0, from-p.size)
	}
	return &several{Reader: io.MultiReader(readers...), files: files}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type several struct {
	io.Reader
	files []io.Closer
}

func (s *several) Close() (err error) {
	for _, f := range s.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
