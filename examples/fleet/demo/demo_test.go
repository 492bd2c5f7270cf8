package main

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// TestMain is a worker process if it is started as one.
func TestMain(m *testing.M) {
	if worker := os.Getenv(workerVariable); worker != "" {
		os.Exit(work(context.Background(), worker, os.Stderr))
	}
	os.Exit(m.Run())
}

// Killed at any moment, workers do nothing twice and leave nothing out.
func TestKilledWorkers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := demonstrate(ctx, 20, 8, rand.Uint64(), t.Output()); err != nil {
		t.Error(err)
	}
}
