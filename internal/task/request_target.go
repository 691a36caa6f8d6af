package task

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxName bounds the name of an object, directory and all, in bytes: what the clouds' stores take, less a margin.
const maxName = 850

const playlistExtension = ".m3u8"

// parseTargets reads where the recording is to be kept. Storages for Cos and Vod are not part of this release.
func parseTargets(o object) []Destination {
	for _, name := range []string{"Vod", "Cos"} {
		if o.has(name) {
			o.object(name) // it must be an object, at least
			o.refuse("%s cannot be used: the %s storage is %s", o.pathOf(name), name, notConfigured)
		}
	}
	if !o.has("Targets") {
		return []Destination{parseTarget(o)}
	}
	for _, name := range []string{"Storage", "TargetDir", "TargetName"} {
		if o.has(name) {
			o.fail(name, "and Targets exclude each other")
		}
	}
	items := o.objects("Targets")
	if len(items) != 1 {
		o.fail("Targets", "must have one entry: delivery to several storages is %s", notConfigured)
	}
	var targets []Destination
	for _, item := range items {
		targets = append(targets, parseTarget(item))
	}
	return targets
}

func parseTarget(o object) Destination {
	dir, name := o.text("TargetDir"), o.text("TargetName")
	d := Destination{
		Storage: o.text("Storage"),
		Dir:     cleanName(o, "TargetDir", dir),
		DirSet:  dir != "",
		Name:    cleanName(o, "TargetName", name),
	}
	if strings.HasSuffix(name, "/") {
		o.fail("TargetName", "must name a file")
	}
	if len(d.Dir)+len(d.Name) > maxName {
		o.fail("TargetName", "and TargetDir must not be longer than %d bytes", maxName)
	}
	return d
}

// cleanName checks a directory or a name: slashes are collapsed and dropped at both ends. Whatever else would make
// the object's name another one than it looks is refused, not repaired.
func cleanName(o object, member, text string) string {
	bad := func(r rune) bool { return r == '\\' || r == unicode.ReplacementChar || unicode.IsControl(r) }
	if strings.ContainsFunc(text, bad) {
		o.fail(member, "must not contain control characters or backslashes")
		return ""
	}
	parts := slices.DeleteFunc(strings.Split(text, "/"), func(part string) bool { return part == "" })
	if slices.Contains(parts, "..") || slices.Contains(parts, ".") {
		o.fail(member, `must not contain "." or ".."`)
		return ""
	}
	return strings.Join(parts, "/")
}

// resolve fills in what the caller left open, for a task that begins at the time given, and answers the directory and
// the name of the main file: of an MP4, or of an HLS playlist.
func (d Destination) resolve(id string, begin time.Time, muxer string) (dir, main string) {
	dir, main = d.Dir, d.Name
	if !d.DirSet {
		dir = id
	}
	extension := "." + muxerMP4
	switch {
	case muxer == muxerHLS:
		extension = playlistExtension
		main = cmp.Or(main, "playlist")
	case main == "":
		main = strconv.FormatInt(begin.UnixMilli(), 10)
	}
	if !strings.EqualFold(path.Ext(main), extension) {
		main += extension
	}
	if folder, file := path.Split(main); folder != "" {
		dir, main = path.Join(dir, folder), file
	}
	return dir, main
}

// storage finds a storage by its name.
func (o Options) storage(name string) (Storage, error) {
	i := slices.IndexFunc(o.Storages, func(s Storage) bool { return s.Name == name })
	if i < 0 {
		return Storage{}, invalidParam("Storage %q is %s", name, notConfigured)
	}
	return o.Storages[i], nil
}
