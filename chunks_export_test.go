package porter

import "time"

// WithChunks has downloads use more connections at once, for chunks of between min
// and max bytes, so that small archives show what large ones do.
func WithChunks(min, max int64) Option {
	return func(cfg *config) error {
		cfg.chunking = chunking{wait: -time.Second, fast: 1e18, min: min, max: max}
		return nil
	}
}
