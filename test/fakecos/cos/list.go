package cos

import (
	"encoding/xml"
	"maps"
	"slices"
	"strings"
)

const maxList = 1000

// name is a key as a listing writes it.
func (c *call) name(key string) string {
	if c.query.Get("encoding-type") == "url" {
		return strings.ReplaceAll(encode(key), "%2F", "/")
	}
	return key
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	Owner        person
	StorageClass string
}

type listedPrefix struct{ Prefix string }

type objectList struct {
	XMLName        xml.Name `xml:"ListBucketResult"`
	Name           string
	EncodingType   string `xml:"EncodingType,omitempty"`
	Prefix         string
	Marker         string
	MaxKeys        int
	Delimiter      string `xml:"Delimiter,omitempty"`
	IsTruncated    bool
	NextMarker     string         `xml:"NextMarker,omitempty"`
	Contents       []listedObject `xml:"Contents"`
	CommonPrefixes []listedPrefix `xml:"CommonPrefixes"`
}

// listObjects is version 1 of the listing.
func (s *Server) listObjects(w *recorder, c *call, b *bucket) *failure {
	prefix, marker, delimiter := c.query.Get("prefix"), c.query.Get("marker"), c.query.Get("delimiter")
	limit := min(number(c.query.Get("max-keys"), maxList), maxList)
	l := objectList{
		Name: b.name, EncodingType: c.query.Get("encoding-type"), Prefix: c.name(prefix), Marker: c.name(marker), MaxKeys: limit,
		Delimiter: delimiter,
	}
	s.mu.Lock()
	last, folder := "", ""
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if !strings.HasPrefix(key, prefix) || key <= marker || folder != "" && strings.HasPrefix(key, folder) {
			continue
		}
		if len(l.Contents)+len(l.CommonPrefixes) == limit {
			l.IsTruncated, l.NextMarker = limit > 0, c.name(last)
			break
		}
		if i := strings.Index(key[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			folder = key[:len(prefix)+i+len(delimiter)]
			if folder > marker {
				l.CommonPrefixes = append(l.CommonPrefixes, listedPrefix{c.name(folder)})
				last = folder
			}
			continue
		}
		o := b.objects[key]
		l.Contents = append(l.Contents, listedObject{c.name(key), date(o.modified), o.etag, o.size, owner(), o.class})
		last = key
	}
	s.mu.Unlock()
	return w.xml(l)
}

type listedUpload struct {
	Key          string
	UploadID     string `xml:"UploadId"`
	StorageClass string
	Initiator    person
	Owner        person
	Initiated    string
}

type uploadList struct {
	XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
	Bucket             string
	EncodingType       string `xml:"Encoding-Type"`
	KeyMarker          string
	UploadIDMarker     string `xml:"UploadIdMarker"`
	NextKeyMarker      string
	NextUploadIDMarker string `xml:"NextUploadIdMarker"`
	MaxUploads         int
	IsTruncated        bool
	Upload             []listedUpload `xml:"Upload"`
	Prefix             string
}

func (s *Server) listUploads(w *recorder, c *call, b *bucket) *failure {
	prefix, keyMarker, idMarker := c.query.Get("prefix"), c.query.Get("key-marker"), c.query.Get("upload-id-marker")
	limit := min(number(c.query.Get("max-uploads"), maxList), maxList)
	l := uploadList{
		Bucket: b.name, EncodingType: c.query.Get("encoding-type"), KeyMarker: c.name(keyMarker), UploadIDMarker: idMarker,
		MaxUploads: limit, Prefix: c.name(prefix),
	}
	s.mu.Lock()
	for _, u := range b.sortedUploads() {
		after := u.key > keyMarker || u.key == keyMarker && idMarker != "" && u.id > idMarker
		if !strings.HasPrefix(u.key, prefix) || !after {
			continue
		}
		if len(l.Upload) == limit {
			l.IsTruncated = limit > 0
			break
		}
		l.Upload = append(l.Upload, listedUpload{c.name(u.key), u.id, u.class, owner(), owner(), date(u.begun)})
		l.NextKeyMarker, l.NextUploadIDMarker = c.name(u.key), u.id
	}
	s.mu.Unlock()
	if !l.IsTruncated {
		l.NextKeyMarker, l.NextUploadIDMarker = "", ""
	}
	return w.xml(l)
}
