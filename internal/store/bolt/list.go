package bolt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recordhost/recordhost/internal/store"
)

// List answers tasks, the latest first. It reads the order bucket backwards, from the cursor or from Until, down to
// Since, and only those tasks that it answers.
func (s *Store) List(ctx context.Context, q store.Query) (store.Page, error) {
	var p store.Page
	err := s.view(ctx, "list tasks", func(tx *bbolt.Tx) error {
		start, err := startKey(q)
		if err != nil {
			return err
		}
		c := tx.Bucket([]byte(bucketOrder)).Cursor()
		var last []byte
		for key, status := before(c, start); key != nil; key, status = c.Prev() {
			if !q.Since.IsZero() && bytes.Compare(key[:8], timeKey(q.Since)) < 0 {
				return nil
			}
			if q.Status != "" && q.Status != string(status) {
				continue
			}
			if q.Limit > 0 && len(p.Tasks) == q.Limit {
				p.Cursor = base64.RawURLEncoding.EncodeToString(last)
				return nil
			}
			t, err := read(tx, string(key[8:]))
			if err != nil {
				return err
			}
			p.Tasks = append(p.Tasks, t)
			last = key
		}
		return nil
	})
	return p, err
}

// startKey is the key that all keys of the list are below; nil when there is no bound.
func startKey(q store.Query) ([]byte, error) {
	var start []byte
	if !q.Until.IsZero() {
		start = timeKey(q.Until)
	}
	if q.Cursor == "" {
		return start, nil
	}
	key, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(key) <= 8 {
		return nil, store.ErrCursor
	}
	if start == nil || bytes.Compare(key, start) < 0 {
		start = key
	}
	return start, nil
}

// before puts the cursor on the last key below start.
func before(c *bbolt.Cursor, start []byte) (key, value []byte) {
	if start == nil {
		return c.Last()
	}
	if key, _ := c.Seek(start); key == nil {
		return c.Last() // all keys are below
	}
	return c.Prev()
}

// orderKey sorts by time, then by ID.
func orderKey(created time.Time, id string) []byte {
	return append(timeKey(created), id...)
}

// timeKey sorts by time, also before 1970. Times that nanoseconds since 1970 do not reach, the zero time among them, have
// no key of their own.
func timeKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())^(math.MaxInt64+1))
}
