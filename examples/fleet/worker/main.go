package main

import _ "go.temporal.io/sdk/contrib/envconfig"

func main() {}
