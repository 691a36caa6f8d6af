package screen

import "fmt"

// Opcodes of events, by interface, as wayland.xml and its extensions number them.
const (
	displayDeleteID       = 1
	registryGlobal        = 0
	callbackDone          = 0
	shmFormat             = 0
	outputGeometry        = 0
	outputMode            = 1
	outputDone            = 2
	outputScale           = 3
	seatCapabilities      = 0
	seatName              = 1
	presentationClock     = 0
	feedbackPresented     = 1
	feedbackDiscarded     = 2
	bufferRelease         = 0
	surfaceEnter          = 0
	xdgSurfaceConfigure   = 0
	xdgToplevelConfigure  = 0
	xdgPopupConfigure     = 0
	xdgPopupDone          = 1
	clockMonotonic        = 1
	stateFullscreen       = 2
	stateActivated        = 4
	seatPointer           = 1
	modeCurrentPreferred  = 3
	millimetresPerPixel   = 0.2646 // 96 dpi
	presentationIsVsynced = 1
)

// global is an interface that clients may bind.
type global struct {
	name    string
	version uint32
	bind    func(c *client, id uint32) object
}

// globals in the order of their numeric names, counted from 1.
func globals() []global {
	return []global{
		{"wl_compositor", 4, func(*client, uint32) object { return compositor{} }},
		{"wl_subcompositor", 1, func(*client, uint32) object { return subcompositor{} }},
		{"wl_shm", 1, bindShm},
		{"xdg_wm_base", 3, func(*client, uint32) object { return wmBase{} }},
		{"wl_output", 3, bindOutput},
		{"wl_seat", 5, bindSeat},
		{"wl_data_device_manager", 3, func(*client, uint32) object { return dataDeviceManager{} }},
		{"wp_presentation", 1, bindPresentation},
	}
}

// display is wl_display, the object that every client has from the start.
type display struct{}

func (display) request(c *client, _ uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // sync
		id := r.uint()
		c.send(event(id, callbackDone).uint(c.nextSerial()))
		c.send(event(displayID, displayDeleteID).uint(id))
		return nil
	case 1: // get_registry
		id := r.uint()
		if err := c.add(id, registry{}); err != nil {
			return err
		}
		for i, g := range globals() {
			c.send(event(id, registryGlobal).uint(uint32(i + 1)).text(g.name).uint(g.version))
		}
		return nil
	}
	return errOpcode(opcode)
}

// registry is wl_registry.
type registry struct{}

func (registry) request(c *client, _ uint32, opcode uint16, r *reader) error {
	if opcode != 0 { // bind
		return errOpcode(opcode)
	}
	number, name, _, id := int(r.uint()), r.text(), r.uint(), r.uint()
	all := globals()
	if number < 1 || number > len(all) || all[number-1].name != name {
		return fmt.Errorf("bind of %q, which is not offered under number %d", name, number)
	}
	return c.add(id, all[number-1].bind(c, id))
}

// leaf is an object whose requests need no answer: regions, positioners, data devices, the pointer that never moves.
// Its destroy request, where it has one, is number release.
type leaf struct{ release uint16 }

func (l leaf) request(c *client, id uint32, opcode uint16, _ *reader) error {
	if opcode == l.release {
		c.remove(id)
	}
	return nil
}

// noRelease is a leaf's release when its interface has no destructor.
const noRelease = 0xffff

func bindOutput(c *client, id uint32) object {
	cfg := c.srv.cfg
	mm := func(px int) int { return int(float64(px) * millimetresPerPixel) }
	c.send(event(id, outputGeometry).int(0).int(0).int(mm(cfg.Width)).int(mm(cfg.Height)).int(0).text("recordhost").text("screen").int(0))
	c.send(event(id, outputMode).uint(modeCurrentPreferred).int(cfg.Width).int(cfg.Height).int(cfg.Refresh * 1000))
	c.send(event(id, outputScale).int(1))
	c.send(event(id, outputDone))
	return leaf{release: 0}
}

// bindSeat offers a pointer, which never moves: without one pages see `hover: none` and choose their touch layout.
func bindSeat(c *client, id uint32) object {
	c.send(event(id, seatCapabilities).uint(seatPointer))
	c.send(event(id, seatName).text("seat0"))
	return seat{}
}

// seat is wl_seat.
type seat struct{}

func (seat) request(c *client, id uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // get_pointer
		return c.add(r.uint(), leaf{release: 1})
	case 1, 2: // get_keyboard, get_touch: not offered, an old client may ask all the same
		return c.add(r.uint(), leaf{release: 0})
	case 3: // release
		c.remove(id)
		return nil
	}
	return errOpcode(opcode)
}

// dataDeviceManager is wl_data_device_manager. Chrome wants one; nothing is ever pasted or dragged.
type dataDeviceManager struct{}

func (dataDeviceManager) request(c *client, _ uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // create_data_source
		return c.add(r.uint(), leaf{release: 1})
	case 1: // get_data_device
		return c.add(r.uint(), leaf{release: 2})
	}
	return errOpcode(opcode)
}

func bindPresentation(c *client, id uint32) object {
	c.send(event(id, presentationClock).uint(clockMonotonic))
	return presentation{}
}

// presentation is wp_presentation.
type presentation struct{}

func (presentation) request(c *client, id uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // destroy
		c.remove(id)
		return nil
	case 1: // feedback
		s, err := c.surface(r.uint())
		if err != nil {
			return err
		}
		if len(s.pending.feedback) >= maxCallbacks {
			return fmt.Errorf("more than %d feedbacks in one commit", maxCallbacks)
		}
		feedback := r.uint()
		if err := c.add(feedback, leaf{release: noRelease}); err != nil {
			return err
		}
		s.pending.feedback = append(s.pending.feedback, feedback)
		return nil
	}
	return errOpcode(opcode)
}

func errOpcode(opcode uint16) error { return fmt.Errorf("unknown request number %d", opcode) }
