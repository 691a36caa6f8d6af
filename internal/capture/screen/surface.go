package screen

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"
)

// Limits of one commit.
const (
	maxCallbacks = 64
	maxDamage    = 64 // rectangles; more are taken as the whole picture
	promptFrames = 3  // commits of a surface between two ticks whose frame callbacks are answered at once
)

// compositor is wl_compositor.
type compositor struct{}

func (compositor) request(c *client, _ uint32, opcode uint16, r *reader) error {
	id := r.uint()
	switch opcode {
	case 0: // create_surface
		return c.add(id, &surface{client: c, id: id})
	case 1: // create_region
		return c.add(id, leaf{release: 0})
	}
	return errOpcode(opcode)
}

// subcompositor is wl_subcompositor. Chrome's software path draws into the window itself; subsurfaces stay unseen.
type subcompositor struct{}

func (subcompositor) request(c *client, id uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // destroy
		c.remove(id)
		return nil
	case 1: // get_subsurface
		return c.add(r.uint(), leaf{release: 0})
	}
	return errOpcode(opcode)
}

// surface is wl_surface.
type surface struct {
	client *client
	id     uint32

	pending   content
	callbacks []uint32 // frame callbacks that wait for the next tick
	feedback  []uint32 // presentation feedbacks that wait for it
	commits   int      // since the last tick
}

// content is what a surface gathers until it is committed.
type content struct {
	buffer    uint32
	damage    []Rect
	whole     bool
	callbacks []uint32
	feedback  []uint32
}

// surface finds a surface by its id.
func (c *client) surface(id uint32) (*surface, error) {
	s, ok := c.objects[id].(*surface)
	if !ok {
		return nil, fmt.Errorf("object %d is no surface", id)
	}
	return s, nil
}

func (s *surface) request(c *client, id uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // destroy
		c.remove(id)
	case 1: // attach
		s.pending.buffer = r.uint()
		if s.pending.buffer != 0 {
			if _, ok := c.objects[s.pending.buffer].(*buffer); !ok {
				return fmt.Errorf("object %d is no buffer", s.pending.buffer)
			}
		}
	case 2, 9: // damage, damage_buffer: the scale is 1, so both count pixels
		s.pending.addDamage(r.int(), r.int(), r.int(), r.int())
	case 3: // frame
		if len(s.pending.callbacks) >= maxCallbacks {
			return fmt.Errorf("more than %d frame callbacks in one commit", maxCallbacks)
		}
		s.pending.callbacks = append(s.pending.callbacks, r.uint())
	case 6: // commit
		s.commit(c)
	case 4, 5, 7, 8, 10: // set_opaque_region, set_input_region, set_buffer_transform, set_buffer_scale, offset
	default:
		return errOpcode(opcode)
	}
	return nil
}

func (s *surface) destroy(c *client) {
	if c.srv.page == s {
		c.srv.page = nil
	}
	for _, id := range append(s.feedback, s.pending.feedback...) {
		c.discard(id)
	}
	s.feedback, s.pending.feedback, s.callbacks = nil, nil, nil
}

// discard answers a presentation feedback for content that was never shown.
func (c *client) discard(id uint32) {
	if _, ok := c.objects[id]; !ok {
		return
	}
	c.send(event(id, feedbackDiscarded))
	c.remove(id)
}

func (p *content) addDamage(x, y, w, h int) {
	if w <= 0 || h <= 0 {
		return
	}
	if len(p.damage) >= maxDamage {
		p.whole = true
		return
	}
	p.damage = append(p.damage, Rect{x, y, clampAdd(x, w), clampAdd(y, h)})
}

func clampAdd(a, b int) int { return min(a+b, math.MaxInt32) }

// commit takes over what is pending. A picture is read before commit returns and its buffer released, so the client
// can never be ahead by more than what it draws. Frame callbacks of a picture are answered at once: Chrome paces
// itself by wp_presentation, and waiting for the tick would only add a frame to the time a picture takes (ADR 0001).
func (s *surface) commit(c *client) {
	p := s.pending
	s.pending = content{}
	shown := p.buffer != 0
	if b, ok := c.objects[p.buffer].(*buffer); shown && ok {
		s.show(b, &p)
		c.send(event(p.buffer, bufferRelease))
	}
	s.feedback = append(s.feedback, p.feedback...)
	if s.commits++; shown && s.commits <= promptFrames {
		c.done(p.callbacks)
	} else {
		s.callbacks = append(s.callbacks, p.callbacks...)
	}
	if len(s.feedback) > maxObjects || len(s.callbacks) > maxObjects {
		c.disconnect(fmt.Errorf("%d answers outstanding", len(s.feedback)+len(s.callbacks)))
	}
}

// show hands a picture of the page's window to the viewer. A client that takes its memory away while it is read
// costs this picture only.
func (s *surface) show(b *buffer, p *content) {
	srv := s.client.srv
	if srv.page != s {
		return
	}
	damage := p.inside(b.width, b.height)
	if len(damage) == 0 {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			if _, ok := fault.(interface{ Addr() uintptr }); !ok {
				panic(fault)
			}
			if s.client.lost++; s.client.lost == 1 {
				srv.cfg.Log.Warn("a picture was lost: the client took its memory away while it was read; further ones are not told")
			}
		}
	}()
	srv.viewer.Frame(time.Now(), b.frame(damage))
}

// inside answers the damage, cut to the picture. It never covers more pixels than the picture has, overlaps counted: no
// commit costs more than one whole picture, so the clock waits for no longer than that.
func (p *content) inside(width, height int) []Rect {
	whole := []Rect{{0, 0, width, height}}
	if p.whole {
		return whole
	}
	cut, pixels := p.damage[:0], 0
	for _, d := range p.damage {
		d = Rect{max(d.X0, 0), max(d.Y0, 0), min(d.X1, width), min(d.Y1, height)}
		if d.X0 < d.X1 && d.Y0 < d.Y1 {
			cut = append(cut, d)
			pixels += (d.X1 - d.X0) * (d.Y1 - d.Y0)
		}
	}
	if pixels > width*height {
		return whole
	}
	return cut
}

// done answers frame callbacks.
func (c *client) done(ids []uint32) {
	now := uint32(monotonic(time.Now()).Milliseconds())
	for _, id := range ids {
		c.send(event(id, callbackDone).uint(now))
		c.send(event(displayID, displayDeleteID).uint(id))
	}
}

// presented answers all that waits for a tick.
func (c *client) presented(shown time.Duration, seq uint32) {
	sec, nsec := uint64(shown/time.Second), uint32(shown%time.Second)
	refresh := uint32(time.Second / time.Duration(c.srv.cfg.Refresh))
	for _, o := range c.objects {
		s, ok := o.(*surface)
		if !ok {
			continue
		}
		for _, id := range s.feedback {
			c.send(event(id, feedbackPresented).uint(uint32(sec >> 32)).uint(uint32(sec)).uint(nsec).uint(refresh).
				uint(0).uint(seq).uint(presentationIsVsynced))
			c.remove(id)
		}
		c.done(s.callbacks)
		s.feedback, s.callbacks, s.commits = s.feedback[:0], s.callbacks[:0], 0
	}
}
