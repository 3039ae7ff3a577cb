"""Codings: how the tokens of a packet become its payload, and back."""
