// Package hls is the other form of a recording: segments of an MPEG transport stream, made out of the spool's fragments
// without encoding anything again, and the playlist that names them (RFC 8216). It owns where the recording is cut, the
// bytes of segments, their encryption, and the playlist's text; it keeps no files and sends nothing. Package deliver calls
// it.
//
// All that it makes follows from the spool alone: whoever goes on with a spool after a crash makes the same segments, byte
// for byte, under the same names.
//
// Times are recorded time. In the segments it is counted from origin on, in ticks of 1/90,000 s; sound is placed to
// the nearest tick of what it is in the MP4.
package hls
