package host

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/config"
)

// programs answers the absolute paths of Chrome and ffmpeg: workers look for nothing.
func programs(e config.Engine) (chrome, ffmpeg string, err error) {
	if e.Chrome == "" {
		chrome, err = browser.Find()
	} else {
		chrome, err = browser.Named(e.Chrome)
	}
	if err != nil {
		return "", "", fmt.Errorf("no Chrome: %w; apt-get install chromium, or name its binary in engine { chrome = … } of the config", err)
	}
	wanted := e.FFmpeg
	if wanted == "" {
		wanted = "ffmpeg"
	}
	if ffmpeg, err = exec.LookPath(wanted); err == nil {
		ffmpeg, err = filepath.Abs(ffmpeg)
	}
	if err != nil {
		return "", "", fmt.Errorf("no ffmpeg: %w; apt-get install ffmpeg, or name it in engine { ffmpeg = … } of the config", err)
	}
	return chrome, ffmpeg, nil
}
