//go:build race

package porter_test

// raceDetector says that everything takes some five times as long.
const raceDetector = true
