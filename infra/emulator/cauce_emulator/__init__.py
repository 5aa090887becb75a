"""ministack, filled in where it differs from AWS in ways that cauce would notice."""
