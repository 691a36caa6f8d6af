package main

import (
	"bytes"
	"encoding/json"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// target is the request's own settings: Output.Vod of the API. Members that are absent or empty are the configuration's.
type target struct {
	MediaInfo     mediaInfo
	ProcedureInfo procedureInfo
	SubAppID      subAppID `json:"SubAppId"`
}

type mediaInfo struct {
	MediaName     string
	ExpireTime    string // ISO 8601; VOD deletes the media then
	StorageRegion string
	ClassID       *int64 `json:"ClassId"`
	SourceContext string
}

type procedureInfo struct {
	Procedure      string
	SessionContext string
}

// subAppID is written as a number or as a string; "" is none.
type subAppID string

// UnmarshalJSON takes both.
func (s *subAppID) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	trimmed := strings.Trim(string(text), `"`)
	if trimmed != "" {
		if _, err := strconv.ParseUint(trimmed, 10, 63); err != nil {
			return status.Errorf(status.InvalidArgument, "SubAppId must be the number of an application")
		}
	}
	*s = subAppID(trimmed)
	return nil
}

// parseTarget reads a delivery's settings; nil is none.
func parseTarget(text []byte) (target, error) {
	var t target
	if len(text) == 0 {
		return t, nil
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return t, status.Errorf(status.InvalidArgument, "target: not a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return t, status.Errorf(status.InvalidArgument, "target: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return t, status.Errorf(status.InvalidArgument, "target: more than a JSON object")
	}
	return t, nil
}

// application is the VOD application that the delivery goes to.
func (d *Driver) application(t target) (uint64, error) {
	if t.SubAppID == "" {
		return uint64(d.config.SubAppID), nil
	}
	id, err := strconv.ParseUint(string(t.SubAppID), 10, 63)
	if err != nil || !d.config.mayUse(id) {
		return 0, status.Errorf(status.InvalidArgument, "target: SubAppId %q is not among the applications that this storage may use "+
			"(sub_app_id, allow_sub_app_ids)", string(t.SubAppID))
	}
	return id, nil
}

// apply is what a session for the delivery is asked for with.
func (d *Driver) apply(delivery storage.Delivery, t target, subApp uint64) applyUpload {
	a := applyUpload{
		MediaType: mediaType(delivery.Main), MediaName: t.MediaInfo.MediaName, ExpireTime: t.MediaInfo.ExpireTime,
		StorageRegion: t.MediaInfo.StorageRegion, ClassID: d.config.ClassID, SourceContext: t.MediaInfo.SourceContext,
		Procedure: t.ProcedureInfo.Procedure, SessionContext: t.ProcedureInfo.SessionContext, SubAppID: subApp,
	}
	if a.MediaName == "" {
		a.MediaName = strings.TrimSuffix(delivery.Main, path.Ext(delivery.Main))
	}
	if a.StorageRegion == "" {
		a.StorageRegion = d.config.StorageRegion
	}
	if t.MediaInfo.ClassID != nil {
		a.ClassID = *t.MediaInfo.ClassID
	}
	if a.Procedure == "" {
		a.Procedure = d.config.Procedure
	}
	return a
}

// mediaType is VOD's word for the kind of a file: its extension.
func mediaType(name string) string {
	if strings.EqualFold(path.Ext(name), ".m3u8") {
		return "m3u8"
	}
	return "mp4"
}
