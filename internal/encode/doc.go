// Package encode is the encoder: it turns raw pictures and sound into fragments of MP4, with ffmpeg as its child. It owns
// ffmpeg's arguments, the stream that ffmpeg reads, and the media that ffmpeg has not given back yet; the worker alone
// calls it.
//
// What was handed in is kept until the fragment that holds it is with the Output. So when ffmpeg dies or hangs, another
// is started and fed again what the first one still owed: as a rule nothing is missing from the file. Memory is bounded;
// where it does not suffice, pictures are dropped and counted, sound never is.
package encode
