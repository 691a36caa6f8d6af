package screen

import "fmt"

// wmBase is xdg_wm_base.
type wmBase struct{}

func (wmBase) request(c *client, id uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // destroy
		c.remove(id)
		return nil
	case 1: // create_positioner
		return c.add(r.uint(), leaf{release: 0})
	case 2: // get_xdg_surface
		newID := r.uint()
		s, err := c.surface(r.uint())
		if err != nil {
			return err
		}
		return c.add(newID, &xdgSurface{id: newID, surface: s})
	case 3: // pong
		return nil
	}
	return errOpcode(opcode)
}

// xdgSurface is xdg_surface.
type xdgSurface struct {
	id      uint32
	surface *surface
}

func (x *xdgSurface) request(c *client, id uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // destroy
		c.remove(id)
		return nil
	case 1: // get_toplevel
		return x.toplevel(c, r.uint())
	case 2: // get_popup
		return x.popup(c, r.uint())
	case 3, 4: // set_window_geometry, ack_configure
		return nil
	}
	return errOpcode(opcode)
}

// toplevel makes a window. The newest client's first one is the page's; all others are told the same size and are
// never looked at.
func (x *xdgSurface) toplevel(c *client, id uint32) error {
	if err := c.add(id, &toplevel{id: id, xdg: x}); err != nil {
		return err
	}
	if page := c.srv.page; page == nil || page.client != c {
		c.srv.page = x.surface
	}
	x.configure(c, id)
	return nil
}

// configure tells a window that it fills the screen.
func (x *xdgSurface) configure(c *client, id uint32) {
	cfg := c.srv.cfg
	c.send(event(id, xdgToplevelConfigure).int(cfg.Width).int(cfg.Height).array(stateFullscreen, stateActivated))
	c.send(event(x.id, xdgSurfaceConfigure).uint(c.nextSerial()))
}

// popup answers a menu or bubble with its dismissal: nothing but the page's own window is recorded.
func (x *xdgSurface) popup(c *client, id uint32) error {
	if err := c.add(id, popup{}); err != nil {
		return err
	}
	c.send(event(id, xdgPopupConfigure).int(0).int(0).int(1).int(1))
	c.send(event(x.id, xdgSurfaceConfigure).uint(c.nextSerial()))
	c.send(event(id, xdgPopupDone))
	return nil
}

// toplevel is xdg_toplevel.
type toplevel struct {
	id  uint32
	xdg *xdgSurface
}

func (t *toplevel) request(c *client, id uint32, opcode uint16, _ *reader) error {
	switch opcode {
	case 0: // destroy
		c.remove(id)
	case 9, 10, 11, 12: // set_maximized, unset_maximized, set_fullscreen, unset_fullscreen: the answer is always the same
		t.xdg.configure(c, t.id)
	case 1, 2, 3, 4, 5, 6, 7, 8, 13: // set_parent, titles, menus, moves, sizes, set_minimized
	default:
		return fmt.Errorf("unknown request number %d", opcode)
	}
	return nil
}

// popup is xdg_popup.
type popup struct{}

func (popup) request(c *client, id uint32, opcode uint16, _ *reader) error {
	switch opcode {
	case 0: // destroy
		c.remove(id)
	case 1, 2: // grab, reposition
	default:
		return errOpcode(opcode)
	}
	return nil
}
