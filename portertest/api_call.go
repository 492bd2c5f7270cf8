package portertest

// call is a request to the API.
type call struct {
	*input
	m         *model
	out       *outbound
	requestID string
	id        string // of the project in its path, unescaped
	rest      string // of the path, after the id
}

// locked runs f with the model's lock held.
func (c *call) locked(f func() *reply) *reply {
	c.m.lock()
	defer c.m.unlock()
	return f()
}

// serviceError is how services refuse.
func (c *call) serviceError(status int, msg string) *reply {
	return message(status, c.m.translate(msg))
}
