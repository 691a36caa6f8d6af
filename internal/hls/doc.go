// Package hls is the other form of a recording: segments of an MPEG transport stream, made out of the spool's fragments
// without encoding anything again, and the playlist that names them (RFC 8216). It owns where the recording is cut, the
// bytes of segments, their encryption, the playlist's text, and the order in which all that goes to a store: the Cargo that
// package deliver brings there. The worker alone makes one.
//
// Segments follow from the spool alone: whoever goes on with it after a crash makes the same ones, byte for byte, under the
// same names.
//
// Times are recorded time. In the segments it is counted from origin on, in ticks of 1/90,000 s; sound is placed to
// the nearest tick of where it is in the MP4.
package hls
