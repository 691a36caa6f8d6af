package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobody is whom Chrome runs as when the worker is root.
const nobody = 65534

// User is whom Chrome runs as.
type User struct {
	UID, GID int
}

// DefaultUser is nobody when this process is root, else this process's own user. The caller makes its sockets reachable
// for it.
func DefaultUser() User {
	if os.Geteuid() == 0 {
		return User{UID: nobody, GID: nobody}
	}
	return User{UID: os.Geteuid(), GID: os.Getegid()}
}

// credential is what a child of that user is started with: nil where it is this process's own.
func (u User) credential() *syscall.Credential {
	if u.UID == os.Geteuid() && u.GID == os.Getegid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)} // #nosec G115 -- checked by Options.check
}

// layout is the private directory of one Chrome: all that it writes is below it.
type layout struct {
	profile string // --user-data-dir
	home    string
	tmp     string
}

// prepare makes the directories, writes the preferences of a fresh profile and gives it all to the user.
func prepare(o Options) (layout, error) {
	l := layout{
		profile: filepath.Join(o.Dir, "p"),
		home:    filepath.Join(o.Dir, "h"),
		tmp:     filepath.Join(o.Dir, "t"), // Chrome makes a socket two levels below; a socket's path is short
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return l, fmt.Errorf("browser: %w", err)
	}
	if entries, err := os.ReadDir(o.Dir); err != nil || len(entries) > 0 {
		return l, fmt.Errorf("browser: the directory %s must be empty and readable: %w", o.Dir, errors.Join(err, fs.ErrExist))
	}
	defaults := filepath.Join(l.profile, "Default")
	made := []string{l.profile, defaults, l.home, l.tmp}
	for _, dir := range made {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return l, fmt.Errorf("browser: %w", err)
		}
	}
	prefs, err := json.Marshal(preferences(o.Locale))
	if err != nil {
		return l, fmt.Errorf("browser: preferences: %w", err)
	}
	file := filepath.Join(defaults, "Preferences")
	if err := os.WriteFile(file, prefs, 0o600); err != nil {
		return l, fmt.Errorf("browser: %w", err)
	}
	if o.User.credential() == nil {
		return l, nil
	}
	// The outermost last: until then nobody else can reach, and replace, what is below.
	for _, path := range append([]string{file}, append(made, o.Dir)...) {
		if err := os.Lchown(path, o.User.UID, o.User.GID); err != nil {
			return l, fmt.Errorf("browser: %w", err)
		}
	}
	return l, reachable(o.Dir, o.User)
}

// reachable reports the first directory on the way to path that the user may not pass. Chrome would only say that it
// cannot make a file.
func reachable(path string, u User) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return fmt.Errorf("browser: %s: %w", dir, err)
		}
		bit := uint32(0o001)
		switch {
		case st.Uid == uint32(u.UID): // #nosec G115 -- checked by Options.check
			bit = 0o100
		case st.Gid == uint32(u.GID): // #nosec G115 -- as above
			bit = 0o010
		}
		if st.Mode&bit == 0 {
			return fmt.Errorf("browser: user %d, whom Chrome runs as, may not enter %s: %w", u.UID, dir, fs.ErrPermission)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// preferences is the profile Chrome starts with. They do what policies would do, without touching the machine's own.
func preferences(locale string) map[string]any {
	const block = 2
	prefs := map[string]any{
		"printing":                   map[string]any{"enabled": false}, // print() returns at once
		"download_restrictions":      3,                                // all
		"download":                   map[string]any{"prompt_for_download": false},
		"hardware":                   map[string]any{"screen_capture_enabled": false}, // no picker of screens to share
		"policy":                     map[string]any{"url_blocklist": []string{"file://*"}},
		"translate":                  map[string]any{"enabled": false},
		"credentials_enable_service": false,
		"autofill":                   map[string]any{"profile_enabled": false, "credit_card_enabled": false},
		"profile": map[string]any{
			"password_manager_enabled": false,
			"exit_type":                "Normal",
			"default_content_setting_values": map[string]any{
				"popups":              block,
				"notifications":       block,
				"automatic_downloads": block,
			},
		},
	}
	if locale != "" {
		prefs["intl"] = map[string]any{"accept_languages": languages(locale)}
	}
	return prefs
}

// environment is all that Chrome finds in its environment: where it may write, and nothing it could start. What the
// caller adds comes last and wins.
func environment(o Options, l layout) []string {
	env := []string{
		"HOME=" + l.home,
		"TMPDIR=" + l.tmp,
		"LANG=C.UTF-8",
		// No helper programs: a page's mailto: link would run xdg-open, which looks for a browser.
		"PATH=/nonexistent",
		// No desktop: no notifications, keyrings, power management or media keys. Unset, the library would start a bus.
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null",
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path=/dev/null",
		"GSETTINGS_BACKEND=memory",
	}
	if o.Timezone != "" {
		env = append(env, "TZ="+o.Timezone)
	}
	return append(env, o.Env...)
}

// smallSharedMemory reports whether /dev/shm is too small for Chrome, as the 64 MB of a default container are.
func smallSharedMemory() bool {
	const enough = 512 << 20
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil {
		return true
	}
	return st.Blocks*uint64(st.Bsize) < enough // #nosec G115 -- a block size is positive
}
