package main

import (
	"go.temporal.io/server/temporaltest"
	"testing"
)

func TestHello(t *testing.T) {
	s := temporaltest.NewServer(temporaltest.WithT(t))
	_ = s.GetDefaultClient()
}
