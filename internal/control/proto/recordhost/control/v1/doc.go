// Package controlv1 is the control stream on the wire: the messages that host and worker exchange, generated from
// control.proto beside it. Only package control uses it; everyone else has that package's own types.
package controlv1
