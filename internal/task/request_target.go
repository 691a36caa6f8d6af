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

// maxTargets is how many places one recording can be kept at.
const maxTargets = 8

const playlistExtension = ".m3u8"

// parseTargets reads where the recording is to be kept. Of Vod and Cos, Vod alone counts.
func parseTargets(o object) []Destination {
	cos := o.object("Cos") // an object at least, also where it does not count
	switch {
	case o.has("Vod"):
		alone(o, "Vod")
		return []Destination{parseVod(o.object("Vod"))}
	case o.has("Cos"):
		alone(o, "Cos")
		return []Destination{parseCos(cos)}
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
	if len(items) < 1 || len(items) > maxTargets {
		o.fail("Targets", "must have 1 to %d entries", maxTargets)
	}
	var targets []Destination
	for _, item := range items {
		targets = append(targets, parseTarget(item))
	}
	return targets
}

// alone refuses the members of Output that say otherwise where the recording is to be kept.
func alone(o object, member string) {
	for _, name := range []string{"Targets", "Storage", "TargetDir", "TargetName"} {
		if o.has(name) {
			o.fail(name, "and %s exclude each other", member)
		}
	}
}

func parseTarget(o object) Destination {
	d := parseName(o)
	d.Storage = o.text("Storage")
	return d
}

// parseName reads what a recording is to be called.
func parseName(o object) Destination {
	dir, name := o.text("TargetDir"), o.text("TargetName")
	d := Destination{
		Dir:    cleanName(o, "TargetDir", dir),
		DirSet: dir != "",
		Name:   cleanName(o, "TargetName", name),
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

// settings are what the plugin is told of the request; nil: nothing.
func (d Destination) settings() []byte {
	if d.Settings == "" {
		return nil
	}
	return []byte(d.Settings)
}

// choose finds the storage of a Destination.
func (o Options) choose(d Destination) (Storage, error) {
	switch {
	case d.Storage != "":
		return o.storage(d.Storage)
	case d.Plugin == pluginVod:
		return o.chooseVod(d)
	case d.Plugin == pluginCos:
		return o.chooseCos(d)
	default:
		return o.storage(o.DefaultStorage)
	}
}

// ofPlugin finds the storage that a member of Output stands for, where it names none: the default one if it is of that plugin, else
// the one that fits what the member says, else the only one.
func (o Options) ofPlugin(plugin, member string, fits func(Storage) bool) (Storage, error) {
	if s, err := o.storage(o.DefaultStorage); err == nil && s.Plugin == plugin {
		return s, nil
	}
	var all, fitting []Storage
	for _, s := range o.Storages {
		if s.Plugin != plugin {
			continue
		}
		all = append(all, s)
		if fits(s) {
			fitting = append(fitting, s)
		}
	}
	switch {
	case len(fitting) == 1:
		return fitting[0], nil
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return Storage{}, invalidParam("Data.Output.%s cannot be used: the %s storage is %s", member, member, notConfigured)
	default:
		return Storage{}, invalidParam("Data.Output.%s does not say which of %d storages is meant, and none of them is the default",
			member, len(all))
	}
}

// storage finds a storage by its name.
func (o Options) storage(name string) (Storage, error) {
	i := slices.IndexFunc(o.Storages, func(s Storage) bool { return s.Name == name })
	if i < 0 {
		return Storage{}, invalidParam("Storage %q is %s", name, notConfigured)
	}
	return o.Storages[i], nil
}
