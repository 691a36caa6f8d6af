package main

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// How long Commit waits for VOD to look into a media, where nothing else tells its size, and how often it asks.
const (
	metaWithin = 30 * time.Second
	metaEvery  = time.Second
)

// Commit implements storage.Driver. The size is what the store told of each file when it was sent or, where this machine does not
// know that, what the store or VOD tell now.
func (d *Driver) Commit(ctx context.Context, s storage.State) (storage.Location, error) {
	st, err := parseState(s)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return storage.Location{}, err
	}
	x, err := d.sealer.open(st)
	if err != nil {
		return storage.Location{}, d.lost(ctx, st, s, err)
	}
	files, complete, err := d.files(ctx, st, s, x)
	if err != nil {
		return storage.Location{}, fmt.Errorf("commit: %w", err)
	}
	main, put := files[st.Delivery.Main]
	if complete && !put {
		return storage.Location{}, status.Errorf(status.FailedPrecondition, "commit: %s was never put", st.Delivery.Main)
	}
	d.records.note(st.Delivery, s, line{Committing: true})
	media, err := d.commitSession(ctx, st, x)
	if err != nil {
		return storage.Location{}, d.lost(ctx, st, s, fmt.Errorf("commit: %w", err))
	}
	l := storage.Location{ID: media.FileID, Name: st.Delivery.Main}
	if put {
		l.Checksum = formatCRC(main.CRC64)
	}
	for _, f := range files {
		l.Size += f.Size
	}
	return d.locate(ctx, st, media, l, complete)
}

// files are those of the session, by name. complete tells that there are no others.
func (d *Driver) files(ctx context.Context, st state, s storage.State, x secrets) (files map[string]stored, complete bool, err error) {
	known := d.records.session(st.Delivery, s)
	bucket, err := d.store(st, x)
	if err != nil {
		return nil, false, err
	}
	sizes, err := bucket.sizes(ctx, st.dir())
	if err == nil {
		files, err = d.listed(ctx, st, bucket, sizes, known)
		complete = true
	}
	if isDenied(err) || isLost(err) {
		// Keys that expired do not keep a session from being committed, and one that was committed has its media for good.
		return known.files, known.state != nil, nil
	}
	return files, complete, err
}

// listed compares what the store has with what it has told before.
func (d *Driver) listed(
	ctx context.Context, st state, bucket *store, sizes map[string]int64, known record,
) (map[string]stored, error) {
	files := map[string]stored{}
	for key, size := range sizes {
		files[st.name(key)] = stored{Name: st.name(key), Size: size, CRC64: known.files[st.name(key)].CRC64}
	}
	for name, f := range known.files {
		if found, ok := files[name]; !ok || found.Size != f.Size && known.expected[name].Size != found.Size {
			return nil, status.Errorf(status.DataLoss, "%s: %d bytes were sent, the store has %d", name, f.Size, found.Size)
		}
	}
	main, ok := files[st.Delivery.Main]
	if !ok {
		return files, nil
	}
	found, err := bucket.stat(ctx, st.Path)
	if err != nil {
		return nil, err
	}
	found.Name = main.Name
	sent, ok := known.files[main.Name]
	if expected, asked := known.expected[main.Name]; asked && (!ok || found != sent) {
		sent, ok = expected, true
	}
	if ok && found != sent {
		return nil, status.Errorf(status.DataLoss, "%s: what was sent has %d bytes and the CRC64 %d, the store reports %d and %d",
			main.Name, sent.Size, sent.CRC64, found.Size, found.CRC64)
	}
	files[main.Name] = found
	return files, nil
}

// commitSession calls CommitUpload. A session that VOD does not know any more may have been committed by a call whose answer was lost:
// then its media is there.
func (d *Driver) commitSession(ctx context.Context, st state, x secrets) (committed, error) {
	media, err := d.vod.commit(ctx, x.SessionKey, st.SubAppID)
	switch {
	case hasCode(err, codeSessionKey):
		if media, found, lookErr := d.media(ctx, st); lookErr != nil || found {
			return media, lookErr
		}
		return media, errLost("%w", err)
	case hasCode(err, codeNoResource):
		return media, errLost("%w", err)
	}
	return media, err
}

// media looks for the media of a session without the session's key. VOD puts the FileId into the path, behind eight digits that are
// something else; that is not documented, so the media found must have the session's own path.
func (d *Driver) media(ctx context.Context, st state) (committed, bool, error) {
	folder := path.Base(path.Dir(st.Path))
	var ids []string
	for _, id := range []string{folder, folder[min(8, len(folder)):]} {
		if id != "" && strings.Trim(id, "0123456789") == "" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return committed{}, false, nil
	}
	found, err := d.vod.describe(ctx, st.SubAppID, ids...)
	if err != nil {
		return committed{}, false, err
	}
	i := slices.IndexFunc(found, func(m described) bool {
		if m.BasicInfo == nil {
			return false
		}
		u, err := url.Parse(m.BasicInfo.MediaURL)
		return err == nil && u.Path == "/"+st.Path
	})
	if i < 0 {
		return committed{}, false, nil
	}
	return committed{FileID: found[i].FileID, MediaURL: found[i].BasicInfo.MediaURL}, true, nil
}

// locate completes a location with what VOD tells about the media.
func (d *Driver) locate(ctx context.Context, st state, media committed, l storage.Location, sized bool) (storage.Location, error) {
	for wait := time.Duration(0); ; wait += metaEvery {
		found, err := d.vod.describe(ctx, st.SubAppID, media.FileID)
		switch {
		case err != nil:
			return storage.Location{}, fmt.Errorf("commit: %w", err)
		case len(found) == 0:
			return storage.Location{}, status.Errorf(status.Unavailable, "commit: VOD does not know the media %s yet", media.FileID)
		}
		l.URL = media.MediaURL
		if l.URL == "" && found[0].BasicInfo != nil {
			l.URL = found[0].BasicInfo.MediaURL
		}
		meta := found[0].MetaData
		switch {
		case sized && meta != nil && mediaType(st.Delivery.Main) == "mp4" && meta.Size != l.Size:
			return storage.Location{}, status.Errorf(status.DataLoss, "commit: %d bytes were sent, the media %s has %d",
				l.Size, media.FileID, meta.Size)
		case sized:
			return l, nil
		case meta != nil:
			l.Size = meta.Size
			return l, nil
		case wait >= metaWithin:
			return storage.Location{}, status.Errorf(status.Unavailable, "commit: VOD does not tell the size of media %s yet", media.FileID)
		}
		select {
		case <-time.After(metaEvery):
		case <-ctx.Done():
			return storage.Location{}, ctx.Err()
		}
	}
}

// Abort implements storage.Driver. A session that may have been committed keeps its files, for its media is made of them. What the
// keys of a session do not allow to be removed is seen by nobody, and goes when VOD clears the session.
func (d *Driver) Abort(ctx context.Context, s storage.State) error {
	st, err := parseState(s)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	sessions := []storage.State{s}
	if now := d.records.of(st.Delivery).state; now != nil && !slices.Equal(now, s) {
		sessions = append(sessions, now) // the delivery was opened again since
	}
	for _, one := range sessions {
		if err := d.abortSession(ctx, one); err != nil {
			return fmt.Errorf("abort: %w", err)
		}
	}
	return nil
}

func (d *Driver) abortSession(ctx context.Context, s storage.State) error {
	st, err := parseState(s)
	if err != nil {
		return err
	}
	known := d.records.session(st.Delivery, s)
	if known.committing {
		return nil
	}
	bucket, err := d.open(st)
	if err == nil {
		err = d.clear(ctx, st, bucket, known)
	}
	if err != nil && !isLost(err) {
		return err
	}
	return d.records.forget(st.Delivery, s)
}

// clear removes what is in the store of a session, as far as its keys allow.
func (d *Driver) clear(ctx context.Context, st state, bucket *store, known record) error {
	uploads, err := bucket.uploads(ctx, st.dir())
	if isDenied(err) {
		uploads, err = known.uploads, nil
	}
	if err != nil {
		return err
	}
	for _, u := range uploads {
		if err := bucket.abort(ctx, u.Key, u.ID); err != nil && !isDenied(err) {
			return err
		}
	}
	sizes, err := bucket.sizes(ctx, st.dir())
	if isDenied(err) {
		sizes, err = map[string]int64{}, nil
		for name := range known.files {
			if key, err := st.key(name); err == nil {
				sizes[key] = 0
			}
		}
	}
	if err != nil {
		return err
	}
	for key := range sizes {
		if err := bucket.remove(ctx, key); err != nil && !isDenied(err) {
			return err
		}
	}
	return nil
}
