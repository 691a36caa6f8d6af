// Package mp4 is the file format of a recording: it takes apart the fragmented stream that the encoder writes, and makes
// the progressive file, index first, out of one or several such streams without encoding anything again.
//
// It owns boxes, sample tables and the rule by which runs of the encoder are joined; it starts nothing and keeps no files
// of its own. Packages encode and spool use it.
//
// Times are recorded time: what the worker's clock says, without pauses and gaps. In the file it is counted in ticks of a
// track.
package mp4
