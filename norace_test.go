//go:build !race

package porter

// RaceDetector says that everything takes some five times as long.
const RaceDetector = false
