// Package e2e holds the end-to-end tests: a real recordhost with its real plugins records pages in a real Chrome, and the
// tests look into the files that come out.
//
// Bounds on time are generous, since a test may run on a slow and busy machine; what a file holds is judged exactly. Each
// recording lasts a few seconds. The tests run one after the other: two recordings side by side are a test of their own.
package e2e
