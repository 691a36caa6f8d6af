// Package mp4 is the file format of a recording: it takes apart the fragmented stream that the encoder writes, and makes
// the progressive file, index first, out of one or several such streams without encoding anything again.
//
// It owns boxes, sample tables and the rule by which runs of the encoder are joined; it starts nothing and keeps no files
// of its own. Packages encode and spool use it.
//
// Two kinds of time occur. Recorded time is what the worker's clock says, pauses cut out; it is a time.Duration. File
// time is recorded time without the gaps before it; it is counted in ticks of a track.
package mp4
