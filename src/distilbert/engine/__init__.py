"""The CPU engine: packed tokens, weights laid out for the matrix units, fp32, bf16 and int8."""
