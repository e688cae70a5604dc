"""Where Twisted meets the network: UDP, streams, flows and their tokens, and who we are."""
