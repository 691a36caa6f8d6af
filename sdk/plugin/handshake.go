package plugin

import (
	"log/slog"
	"os"
	"strconv"

	goplugin "github.com/hashicorp/go-plugin"
)

// The environment variables by which a host and its plugin find to each other. None holds a secret, and the cookie is no
// protection: it tells a plugin that was started by a host from one that was started by hand.
const (
	cookieKey   = "RECORDHOST_PLUGIN"
	cookieValue = "6f1d4b0e-recordhost-plugin"

	hostPIDKey  = "RECORDHOST_PLUGIN_HOST_PID"
	logLevelKey = "RECORDHOST_PLUGIN_LOG_LEVEL"
)

// Handshake is what go-plugin compares on both sides before anything else. The versions of the contract are the keys of
// VersionedPlugins, not part of it.
func Handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{MagicCookieKey: cookieKey, MagicCookieValue: cookieValue}
}

// Environ is what a host adds to the environment of a plugin process that it starts, besides what go-plugin adds: its own
// process number, so that a plugin notices even when its host died before the plugin's first step, and the least
// level of log records that it wants.
func Environ(level slog.Level) []string {
	return []string{
		hostPIDKey + "=" + strconv.Itoa(os.Getpid()),
		logLevelKey + "=" + level.String(),
	}
}

// startedByHost reports whether the process was started by a host.
func startedByHost() bool { return os.Getenv(cookieKey) == cookieValue }

// logLevel is the least level that the host wants, Info where it does not tell.
func logLevel() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(os.Getenv(logLevelKey))); err != nil {
		return slog.LevelInfo
	}
	return level
}
