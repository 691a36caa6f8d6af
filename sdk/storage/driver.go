// Package storage is the contract of a storage plugin: where a recording is kept.
//
// The unit is a delivery, the set of files of one recording at one target: one MP4, or a playlist and its segments.
// Files are handed over by path and extent, never as a stream: plugin and worker share a file system, so retry and
// resume stay local. Plugin authors implement Driver and call Serve; the worker holds the same interface, in front
// of gRPC.
package storage

import (
	"context"
	"time"
)

// Driver keeps the files of recordings. Every method may be called from several goroutines at once, and every method
// is idempotent: called again with the same arguments, after an answer was lost or in a new process, it leads to
// the same result. When ctx ends, the method stops its work and returns ctx's error; nothing half-written is visible.
//
// Errors carry a kind of package status: PermissionDenied (credentials refused), NotFound (no such bucket),
// AlreadyExists (a file of that name is there and may not be overwritten), InvalidArgument, DataLoss (the store's size
// or checksum is not the file's), FailedPrecondition (something else must be done before), Unavailable (may work when
// tried again). Drivers do not retry: deliver does, and only what status.Retryable allows.
//
// FailedPrecondition about a delivery that is open says that nothing can come of it as it is: its session or keys have expired, or
// its main file is not there. The delivery is opened anew then, which leads to a State that can be used, and all of it is sent again.
type Driver interface {
	// Capabilities says what the store can do. It needs no connection to the store.
	Capabilities(ctx context.Context) (Capabilities, error)

	// Check proves that the store can be reached and written with this configuration, and leaves nothing behind.
	Check(ctx context.Context) error

	// Open begins a delivery, or takes one up again: the same Delivery leads to an equivalent State. It refuses
	// targets this store may not write (InvalidArgument, naming the field) and names that exist and may not be
	// overwritten (AlreadyExists), before anything was sent. A file that an earlier epoch of the same task left is no
	// reason to refuse, where the store can tell whose it is.
	Open(ctx context.Context, d Delivery) (State, error)

	// Put stores one whole file of the delivery under its name. A file of the same delivery is replaced; one of somebody
	// else that came there after Open is not (AlreadyExists), unless it may be overwritten. A local file that is absent
	// or not as stated is InvalidArgument, one without the checksum stated DataLoss, and the store is as before.
	Put(ctx context.Context, s State, f File) error

	// BeginParts begins a file that grows while it is sent. Only where Capabilities.Parts.
	BeginParts(ctx context.Context, s State, f Growing) (Upload, error)

	// PutPart stores one part of it. The same number sent again replaces the part.
	PutPart(ctx context.Context, s State, u Upload, p Part) (Receipt, error)

	// FinishParts makes the file out of its parts, in the order of their numbers; r holds one receipt per part. Until
	// then no reader sees the file.
	FinishParts(ctx context.Context, s State, u Upload, r []Receipt) error

	// Commit ends the delivery: all files are in the store, whole, and durable. What it answers is what the store
	// itself reports when asked. Without the main file it is FailedPrecondition.
	Commit(ctx context.Context, s State) (Location, error)

	// Abort gives the delivery up and removes what it left: parts, uploads begun. Files that Put or FinishParts
	// completed are removed too, unless Commit has returned.
	Abort(ctx context.Context, s State) error

	// List, Fetch and Delete serve media that must be read back; only where Capabilities.ReadBack. Names are as in
	// File.Name, below the delivery's directory.

	// List answers the files of the delivery, by name, in byte order.
	List(ctx context.Context, s State) ([]Object, error)
	// Fetch copies a file of the delivery to path, which must not exist. The file appears there whole or not at all.
	Fetch(ctx context.Context, s State, name, path string) error
	// Delete removes a file of the delivery; one that is not there is no error.
	Delete(ctx context.Context, s State, name string) error
}

// Capabilities of a store. The engine adapts to them; no driver pretends.
type Capabilities struct {
	Parts       bool  // BeginParts, PutPart, FinishParts work
	OutOfOrder  bool  // parts may be sent in any order
	EqualParts  bool  // all parts but the last must have the same size
	MinPartSize int64 // bytes, of all parts but the last
	MaxPartSize int64 // bytes
	MaxParts    int
	ReadBack    bool // List, Fetch, Delete work
	Folders     bool // a delivery may hold several files (HLS)
}

// Delivery names what is delivered and where to.
type Delivery struct {
	TaskID string // of the recording
	Epoch  uint64 // of the worker that delivers; a new epoch never adopts the uploads of an old one by itself
	Dir    string // target directory below the store's root or prefix, without slashes at its ends; may be empty
	Main   string // the name of the file that people open: "lesson.mp4", "playlist.m3u8"

	// Target holds the request's own settings for this kind of store (bucket, region, domain, media info) as JSON, as
	// the API documents them; nil when it has none.
	Target []byte
}

// State is a delivery that was opened. It is opaque to the engine, which journals it before the first byte is sent
// and hands it to whichever process goes on; at most 64 KiB.
type State []byte

// File is a whole file: one on the local disk, or one that is put together from pieces of such.
type File struct {
	Name        string // below the delivery's directory
	Path        string // absolute, of a regular file; empty where Extents are given
	Extents     []Extent
	Size        int64  // bytes; a file that has another size is refused with InvalidArgument
	SHA256      []byte // 32 bytes, or nil when it was not computed
	ContentType string
}

// Growing is a file that is sent in parts before it is whole.
type Growing struct {
	Name        string
	ContentType string
	PartSize    int64 // bytes of each part but the last, where the store wants equal parts
}

// Upload identifies a growing file in the store: opaque, journalled by the engine, at most 16 KiB.
type Upload []byte

// Part is a piece of a growing file, put together from extents of local files.
type Part struct {
	Number  int // from 1
	Extents []Extent
}

// Extent is a range of bytes of a local file.
type Extent struct {
	Path   string
	Offset int64
	Length int64
}

// Receipt is what the store answered for one part; Checksum and Size are the store's own.
type Receipt struct {
	Number   int
	Size     int64
	ETag     string
	Checksum string // "crc64:…", "md5:…", "sha256:…", or of a kind that only the driver compares; empty when the store tells none
}

// Location is a committed delivery.
type Location struct {
	ID       string // the store's own id, such as a VOD FileId; empty when it has none
	Name     string // of the main file, as it was stored
	URL      string // where the main file can be had
	Size     int64  // bytes, of all files, as the store reports them
	Checksum string // of the main file, as the store reports it; empty when it tells none
}

// Object is a file in the store.
type Object struct {
	Name     string
	Size     int64
	Modified time.Time
}
