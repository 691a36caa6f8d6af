package doctor

import (
	"context"
	"fmt"

	"github.com/recordhost/recordhost/internal/browser"
)

// chrome looks for the browser's own binary and asks it for its version.
func chrome(ctx context.Context, o Options) Finding {
	const name, advice = "Chrome", "apt-get install chromium, or name another in chrome of engine {} of the config"
	find := browser.Find
	if o.Chrome != "" {
		find = func() (string, error) { return browser.Named(o.Chrome) }
	}
	program, err := find()
	if err != nil {
		return amiss(name, err.Error(), advice)
	}
	version, err := browser.Version(ctx, program)
	if err != nil {
		return amiss(name, fmt.Sprintf("%s does not run: %v", program, err), advice)
	}
	return ok(name, fmt.Sprintf("%s, %s", version, program))
}
