package portertest

// correlationIDs number requests.
type correlationIDs struct {
	*settings
	last int64
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newCorrelationID returns a ULID, as GitLab uses for its requests.
func (s *correlationIDs) newCorrelationID() string {
	s.lock()
	defer s.unlock()
	s.last++
	var id [26]byte
	ms, n := s.now().UnixMilli(), s.last
	for i := 9; i >= 0; i-- {
		id[i] = crockford[ms&31]
		ms >>= 5
	}
	for i := 25; i >= 10; i-- {
		id[i] = crockford[n&31]
		n >>= 5
	}
	return string(id[:])
}
