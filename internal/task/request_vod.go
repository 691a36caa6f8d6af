package task

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// pluginVod is the plugin that keeps recordings as media of Tencent Cloud VOD.
const pluginVod = "vod"

// The bounds of Output.Vod's texts, in characters. The service's own documentation does not say which it counts.
const (
	maxSourceContext  = 250
	maxSessionContext = 1000
)

// vodSettings are the members of Output.Vod that were given, as the plugin takes them.
type vodSettings struct {
	MediaInfo     vodMedia
	ProcedureInfo vodProcedure
	SubAppID      string `json:"SubAppId,omitempty"` // digits
}

type vodMedia struct {
	MediaName     string `json:",omitempty"`
	ExpireTime    string `json:",omitempty"`
	StorageRegion string `json:",omitempty"`
	ClassID       *int64 `json:"ClassId,omitempty"`
	SourceContext string `json:",omitempty"`
}

type vodProcedure struct {
	Procedure      string `json:",omitempty"`
	SessionContext string `json:",omitempty"`
}

// parseVod reads Output.Vod.
func parseVod(o object) Destination {
	media, procedure := o.object("MediaInfo"), o.object("ProcedureInfo")
	s := vodSettings{
		MediaInfo: vodMedia{
			MediaName:     word(media, "MediaName"),
			ExpireTime:    word(media, "ExpireTime"),
			StorageRegion: word(media, "StorageRegion"),
			SourceContext: textUpTo(media, "SourceContext", maxSourceContext),
		},
		ProcedureInfo: vodProcedure{
			Procedure:      word(procedure, "Procedure"),
			SessionContext: textUpTo(procedure, "SessionContext", maxSessionContext),
		},
		SubAppID: subAppID(o, "SubAppId"),
	}
	if class := media.whole("ClassId", 0, math.MaxInt32); media.has("ClassId") {
		s.MediaInfo.ClassID = &class
	}
	d := Destination{Plugin: pluginVod}
	if s.MediaInfo.ExpireTime != "" {
		at, err := time.Parse(time.RFC3339, s.MediaInfo.ExpireTime)
		if err != nil {
			media.fail("ExpireTime", "must be a time as 2027-12-31T00:00:00Z")
		}
		d.Expires = at.Unix()
	}
	settings, err := json.Marshal(s)
	if err != nil {
		o.fail("", "cannot be passed on: %v", err)
	}
	d.Settings = string(settings)
	return d
}

// word reads a text that may be left out, and must not be blank otherwise: "undefined" and "null" are what a program writes that has
// nothing to say.
func word(o object, name string) string {
	text := o.text(name)
	if text != "" && (strings.TrimSpace(text) == "" || text == "null" || text == "undefined") {
		o.fail(name, "must not be blank")
	}
	return text
}

// textUpTo reads a text of so many characters at most.
func textUpTo(o object, name string, most int) string {
	text := o.text(name)
	if utf8.RuneCountInString(text) > most {
		o.fail(name, "must not be longer than %d characters", most)
	}
	return text
}

// subAppID reads the number of an application, which the documentation calls a string and its example writes as a number.
func subAppID(o object, name string) string {
	var text string
	if json.Unmarshal(o.members[name], &text) != nil {
		if n := o.whole(name, 0, 1<<53); n != 0 {
			text = strconv.FormatInt(n, 10)
		}
	}
	if text == "" {
		return ""
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		o.fail(name, "must be the number of an application")
	}
	if n == 0 {
		return "" // as if it were left out
	}
	return strconv.FormatUint(n, 10)
}

// chooseVod finds the storage of a Destination of parseVod, which may use the application that it names.
func (o Options) chooseVod(d Destination) (Storage, error) {
	var settings vodSettings
	if err := json.Unmarshal([]byte(d.Settings), &settings); err != nil {
		return Storage{}, invalidParam("Data.Output.Vod cannot be read: %v", err)
	}
	id := settings.SubAppID
	s, err := o.ofPlugin(pluginVod, "Vod", func(s Storage) bool { return id != "" && mayUseSubApp(s, id) })
	if err != nil {
		return s, err
	}
	if id != "" && !mayUseSubApp(s, id) {
		return s, invalidParam("Data.Output.Vod.SubAppId is not among the applications that the storage %q may use", s.Name)
	}
	return s, nil
}

// mayUseSubApp tells whether a storage's configuration allows an application: its own, or one of the list.
func mayUseSubApp(s Storage, id string) bool {
	var c struct {
		SubAppID       json.Number `json:"sub_app_id"`
		AllowSubAppIDs []string    `json:"allow_sub_app_ids"`
	}
	return json.Unmarshal(s.Config, &c) == nil && (c.SubAppID.String() == id || slices.Contains(c.AllowSubAppIDs, id))
}
