"""A request filter for sipproxy that refuses blocked senders."""
