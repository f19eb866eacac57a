"""Methods whose answer is a bound."""
