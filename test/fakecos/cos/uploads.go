package cos

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// What the service demands of parts.
const (
	MinPart  = 1 << 20 // bytes, of all parts but the last
	MaxPart  = 5 << 30
	MaxParts = 10000
)

func noUpload() *failure {
	return missing("NoSuchUpload", "The specified multipart upload does not exist. The upload ID might be invalid, "+
		"or the multipart upload might have been aborted or completed.")
}

// upload finds the upload of a request. The caller holds mu.
func (b *bucket) upload(c *call) (*upload, *failure) {
	if u := b.uploads[c.UploadID]; u != nil && u.key == c.Key {
		return u, nil
	}
	return nil, noUpload()
}

func (b *bucket) sortedUploads() []*upload {
	return slices.SortedFunc(maps.Values(b.uploads), func(x, y *upload) int {
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.id, y.id))
	})
}

func (s *Server) initiate(w *recorder, c *call, b *bucket) *failure {
	if len(c.Key) > maxKey {
		return invalid("KeyTooLong", "Your key is too long.")
	}
	discard(c)
	u := &upload{id: s.number("upload"), key: c.Key, begun: s.now(), parts: map[int]part{}}
	u.header, u.class = about(c.http)
	s.mu.Lock()
	b.uploads[u.id] = u
	s.mu.Unlock()
	return w.xml(struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadID string `xml:"UploadId"`
	}{Bucket: b.name, Key: c.Key, UploadID: u.id})
}

func (s *Server) uploadPart(w *recorder, c *call, b *bucket) *failure {
	switch {
	case c.http.ContentLength < 0:
		return &failure{http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header."}
	case c.Part < 1 || c.Part > MaxParts:
		return invalid("InvalidArgument", "The part number must be an integer between 1 and 10000, inclusive.")
	case c.http.ContentLength > MaxPart:
		return invalid("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
	}
	s.mu.Lock()
	_, failure := b.upload(c)
	s.mu.Unlock()
	if failure != nil {
		return failure
	}
	p, told, failure := s.receive(c)
	if failure != nil {
		return failure
	}
	s.mu.Lock()
	u, failure := b.upload(c) // it may have ended meanwhile
	if failure == nil {
		if old, ok := u.parts[c.Part]; ok {
			old.remove()
		}
		u.parts[c.Part] = part{piece: p, etag: told.etag(), modified: s.now()}
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

// completion is what CompleteMultipartUpload is sent.
type completion struct {
	XMLName xml.Name `xml:"CompleteMultipartUpload"`
	Parts   []struct {
		PartNumber int
		ETag       string
	} `xml:"Part"`
}

func (s *Server) complete(w *recorder, c *call, b *bucket) *failure {
	var wanted completion
	if err := xml.NewDecoder(c.body).Decode(&wanted); err != nil || len(wanted.Parts) == 0 {
		return invalid("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema.")
	}
	discard(c)
	o, failure := s.assemble(c, b, wanted)
	if failure != nil {
		return failure
	}
	// The service answers at once and keeps the connection alive with white space while it works.
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set(crcHeader, strconv.FormatUint(o.crc, 10))
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, declaration+" \n \n")
	body, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"http://www.qcloud.com/document/product/436/7751 CompleteMultipartUploadResult"`
		Location string
		Bucket   string
		Key      string
		ETag     string
	}{Location: Host(b.name, b.region) + "/" + c.Key, Bucket: b.name, Key: c.Key, ETag: o.etag})
	if err != nil {
		return internal(err)
	}
	_, _ = w.Write(body)
	return nil
}

// assemble makes an object out of an upload.
func (s *Server) assemble(c *call, b *bucket, wanted completion) (*object, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, failure := b.upload(c)
	if failure == nil {
		failure = b.refuses(c)
	}
	if failure != nil {
		return nil, failure
	}
	o := &object{key: c.Key, header: u.header, class: u.class, modified: s.now()}
	for i, want := range wanted.Parts {
		have, ok := u.parts[want.PartNumber]
		switch {
		case i > 0 && want.PartNumber <= wanted.Parts[i-1].PartNumber:
			return nil, invalid("InvalidPartOrder", "The list of parts was not in ascending order.")
		case !ok || have.etag != want.ETag || want.PartNumber != i+1:
			return nil, invalid("InvalidPart", fmt.Sprintf("One or more of the specified parts could not be found: %d.", want.PartNumber))
		case have.size < MinPart && i < len(wanted.Parts)-1:
			return nil, invalid("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
		}
		o.pieces = append(o.pieces, have.piece)
	}
	o.etag = joined(o.pieces)
	if failure := s.spoilObject(o, c.damage); failure != nil {
		return nil, failure
	}
	for _, p := range o.pieces {
		o.crc = combine(o.crc, p.crc, p.size)
		o.size += p.size
	}
	for _, used := range wanted.Parts {
		delete(u.parts, used.PartNumber)
	}
	u.drop()
	delete(b.uploads, u.id)
	b.replace(o)
	return o, nil
}

// drop removes what an upload holds.
func (u *upload) drop() {
	for _, p := range u.parts {
		p.remove()
	}
}

func (s *Server) abort(w *recorder, c *call, b *bucket) *failure {
	s.mu.Lock()
	u, failure := b.upload(c)
	if failure == nil {
		u.drop()
		delete(b.uploads, u.id)
	}
	s.mu.Unlock()
	if failure == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return failure
}

// person is the Owner and the Initiator in listings.
type person struct {
	ID          string
	DisplayName string
}

func owner() person {
	return person{ID: "qcs::cam::uin/100000000001:uin/100000000001", DisplayName: "100000000001"}
}

type listedPart struct {
	PartNumber   int
	LastModified string
	ETag         string
	Size         int64
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *Server) listParts(w *recorder, c *call, b *bucket) *failure {
	limit := number(c.query.Get("max-parts"), 1000)
	marker := number(c.query.Get("part-number-marker"), 0)
	s.mu.Lock()
	u, failure := b.upload(c)
	if failure != nil {
		s.mu.Unlock()
		return failure
	}
	var parts []listedPart
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n > marker {
			p := u.parts[n]
			parts = append(parts, listedPart{n, date(p.modified), p.etag, p.size})
		}
	}
	class := u.class
	s.mu.Unlock()
	next, truncated := 0, len(parts) > limit
	if truncated {
		parts = parts[:limit]
	}
	if len(parts) > 0 {
		next = parts[len(parts)-1].PartNumber
	}
	return w.xml(struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		Bucket               string
		EncodingType         string `xml:"Encoding-type"`
		Key                  string
		UploadID             string `xml:"UploadId"`
		Initiator            person
		Owner                person
		PartNumberMarker     int
		Part                 []listedPart
		NextPartNumberMarker int
		StorageClass         string
		MaxParts             int
		IsTruncated          bool
	}{
		Bucket: b.name, EncodingType: c.query.Get("encoding-type"), Key: c.name(c.Key), UploadID: c.UploadID,
		Initiator: owner(), Owner: owner(),
		PartNumberMarker: marker, Part: parts, NextPartNumberMarker: next, StorageClass: class, MaxParts: limit, IsTruncated: truncated,
	})
}

// number reads a parameter that may be left out.
func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return otherwise
	}
	return min(n, 1000000)
}
